"""How the starter weights are made: `python -m training.starter --photos DIR --work DIR`.

DIR holds the unpacked Debian packages that `PACKAGES` names (`apt-get download`, `dpkg -x`). Their
photos, and the pictures that the judge is fitted to, are cut and scaled to squares, degraded by
networks.degraders, stored as the shards and the dataset of a work tree, and trained by the same
stage as any other model. The result, its settings and the hashes of the photos go to `--out`.
Nothing that the demo or the tests show is among them.
"""

import argparse
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from catalog import images, schemas
from catalog.degradations import Degradation
from catalog.errors import UserError, said_plainly
from catalog.files import write_json
from catalog.layout import Layout
from catalog.pairs import pair_id
from catalog.progress import track
from catalog.settings.degraders import DegraderRanges, Graded
from catalog.settings.training import Network, Stage, Student
from catalog.shards import ShardWriter
from catalog.stage import alone
from catalog.tables import write_table
from networks.degraders import load_degrader
from networks.judges.proxy.fit.sources import PICTURED, pictures
from training.fresh import versions as degrader_versions
from training.settings_check import require_whole_patches
from training.stage import Inputs, train_stage

PACKAGES = (
    "lomiri-wallpapers-16.04",
    "lomiri-wallpapers-20.04",
    "mate-backgrounds",
    "plasma-workspace-wallpapers",
    "endless-sky-high-dpi",
)
"""Debian 12 packages: CC-BY-4.0, CC-BY-SA-3.0/4.0, CC0-1.0 and GPL-2+ (their copyright files)."""

PHOTOS = """
Bridge_by_Sander_Klootwijk Dragonfly_by_Bolly Kleiber_by_Lukas_Baubkus Picture_0B_by_freespace
Picture_1A_by_freespace Wine_by_Jakkub_Mede aitzgorri_by_Aitzol_Berasategi
free_by_Peter_Nerlich friends_by_Aitzol_Berasategi greentock_by_Peter_Nerlich
life_by_Aitzol_Berasategi picosdeeuropa_by_Aitzol_Berasategi seeding_by_Clements_Engelhardt
sunset_by_Aitzol_Berasategi Aqua Blinds Dune FreshFlower Garden GreenMeadow LadyBird RainDrops
Storm TwoWings Wood YellowFlower Autumn BytheWater ColdRipple ColorfulCups EveningGlow
FallenLeaf Grey Kite OneStandsOut Path Volna summer_1am
""".split()  # noqa: SIM905
"""Photos among the wallpapers, by file name or by the name of their theme."""

LANDSCAPES = "images/land"
"""Folder of endless-sky-high-dpi with photos of landscapes and towns, 1440 x 720."""

HELD_OUT = ("Kleiber_by_Lukas_Baubkus", "Garden", "EveningGlow", "life_by_Aitzol_Berasategi")
"""Photos of the validation split."""

SIDE = 288
LEAST_DETAIL = 12.0
"""Standard deviation of the grey values of a square, of 255; plain sky teaches little."""


def find_photos(folder: Path) -> dict[str, Path]:
    """The photos by name, the largest file of each. Raises `UserError` for missing ones."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*"), key=lambda path: (path.name, str(path))):
        if path.suffix not in (".jpg", ".png") or path.is_symlink():
            continue
        theme = path.parts[-4] if "contents" in path.parts else path.stem
        listed = theme in PHOTOS or path.parent.match(f"*/{LANDSCAPES}")
        best = found.get(theme)
        if listed and (best is None or path.stat().st_size > best.stat().st_size):
            found[theme] = path
    missing = sorted(set(PHOTOS) - set(found))
    if missing:
        raise UserError(
            f"{folder} lacks the photos {', '.join(missing)}.",
            f"Unpack there: apt-get download {' '.join(PACKAGES)}; dpkg -x EACH {folder}",
        )
    found |= {f"{path.parent.name}/{path.stem}": path for path in pictures(folder)}
    return dict(sorted(found.items()))


def read_photo(path: Path) -> Image.Image:
    """A photo of a package, or one of `PICTURED`, which are kept as arrays."""
    if path.suffix == ".npy":
        return Image.fromarray(np.load(path))
    with Image.open(path) as opened:
        return opened.convert("RGB")


def varied(ranges: DegraderRanges, rng: np.random.Generator) -> DegraderRanges:
    """The ranges with each strength fixed at a severity of its own, even over 1 to 5.

    Otherwise the parts of a degradation are strong together: a flare always has its veil, rain its
    mist, and a model learns to take both away where only one is there.
    """

    def at(span: Graded) -> Graded:
        mild, extreme = span
        value = mild + (extreme - mild) * float(rng.uniform())
        return value, value

    changed = {}
    for task in DegraderRanges.model_fields:
        each = getattr(ranges, task)
        graded = [
            name
            for name, field in type(each).model_fields.items()
            # Uniform has the same type, with a check that its ends are ordered.
            if field.annotation == Graded and not field.metadata
        ]
        changed[task] = each.model_copy(update={name: at(getattr(each, name)) for name in graded})
    return ranges.model_copy(update=changed)


def squares(photo: Image.Image, count: int, rng: np.random.Generator) -> Iterator[images.Rgb]:
    """`count` squares of SIDE pixels of random places and scales, those with detail first."""
    short = min(photo.size)
    for _ in range(count):
        best: images.Rgb | None = None
        for _ in range(4):
            span = int(SIDE * np.exp(rng.uniform(np.log(1.5), np.log(max(1.6, short / SIDE)))))
            span = min(span, short)
            left = int(rng.integers(photo.width - span + 1))
            top = int(rng.integers(photo.height - span + 1))
            box = (left, top, left + span, top + span)
            square = np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=box))
            if best is None or square.std() > best.std():
                best = square
            if best.mean(axis=2).std() > LEAST_DETAIL:
                break
        assert best is not None
        yield best


def make_tree(
    photos: dict[str, Path],
    layout: Layout,
    per_photo: int,
    seed: int,
    versions: int = 1,
    fresh: bool = False,
) -> None:
    """Shards and dataset of a work tree: every square degraded by each of the nine.

    versions: how often; the first time by one severity, then with `varied` strengths.
    fresh: training degrades its squares itself, so a training pair names its clean side twice.
    """
    rows: list[dict[str, Any]] = []
    rng = np.random.default_rng(seed)
    clean: list[tuple[str, images.Rgb]] = []
    for name, path in photos.items():
        count = per_photo if name in PHOTOS else max(1, per_photo // 4)
        clean += [(name, square) for square in squares(read_photo(path), count, rng)]
    layers = [square for name, square in clean[::7] if name not in HELD_OUT]

    def degraded(square: images.Rgb, task: Degradation, version: int) -> images.Rgb:
        ranges = varied(DegraderRanges(), rng) if version else DegraderRanges()
        reflected = layers if task is Degradation.REFLECTION else ()
        degrader = load_degrader(task, ranges, layers=reflected)
        return degrader.degrade(square, float(rng.uniform(1.0, 4.5)), rng)

    def store(writer: ShardWriter, image: images.Rgb, source: str) -> str:
        data = images.encode_png(image)
        return writer.add(data, images.read_header(data), {"source": source})

    def row(degraded_id: str, clean_id: str, task: Degradation, name: str) -> dict[str, Any]:
        return {
            "pair_id": pair_id(degraded_id, clean_id, task),
            "degraded_id": degraded_id,
            "clean_id": clean_id,
            "degradation": str(task),
            "origin": "synthetic",
            "group": name,
            "split": "validation" if name in HELD_OUT else "train",
        }

    with ShardWriter(layout.raw / "photos") as raw, ShardWriter(layout.synthetic) as synthetic:
        for name, square in track(clean, "squares degraded"):
            clean_id = store(raw, square, name)
            for task in Degradation:
                if fresh and name not in HELD_OUT:
                    rows.append(row(clean_id, clean_id, task, name))
                    continue
                for version in range(1 if name in HELD_OUT else versions):
                    degraded_id = store(synthetic, degraded(square, task, version), str(task))
                    rows.append(row(degraded_id, clean_id, task, name))
    write_table(layout.dataset / "pairs.parquet", rows, schemas.DATASET)


def settings(arguments: argparse.Namespace) -> tuple[Student, Stage]:
    """The starter's architecture and its single stage."""
    student = Student(
        width=128,
        heads=2,
        double_blocks=1,
        single_blocks=6,
        refiner=32,
        sampling_steps=1,
        tile=128,
        overlap=32,
    )
    stage = Stage(
        seed=arguments.seed,
        steps=arguments.steps,
        batch=arguments.batch,
        crop=arguments.crop,
        fresh=1.0 if arguments.fresh else 0.0,
        learning_rate=arguments.learning_rate,
        schedule=arguments.schedule,
        warmup=min(100, arguments.steps // 10),
        loss="psnr",
        timesteps="one",
        ema=arguments.ema,
        precision="bf16",
        web_style=0.05,
        web_style_strength=0.3,
        validate_every=arguments.validate_every,
        validation_pairs=8,
        checkpoint_every=100,
        compile=arguments.compile,
        cache_mib=arguments.cache_mib,
    )
    return student, stage


def main() -> None:
    """Make the tree once, train (or go on), and leave the model with its record.

    Raises `UserError` where another process makes a starter in the same work tree.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=Path, help="model folder to go on from")
    parser.add_argument(
        "--fresh", action="store_true", help="degrade anew each time, in place of once"
    )
    parser.add_argument("--versions", type=int, default=1, help="degraded versions of a square")
    parser.add_argument("--crop", type=int, default=96)
    parser.add_argument("--batch", type=int, default=9)
    parser.add_argument("--cache-mib", type=int, default=4096)
    parser.add_argument("--ema", type=float, default=0.998)
    parser.add_argument("--compile", action="store_true", help="torch.compile, block by block")
    parser.add_argument("--validate-every", type=int, default=500)
    parser.add_argument("--per-photo", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--schedule", choices=("constant", "cosine"), default="constant")
    arguments = parser.parse_args()
    student, stage = settings(arguments)
    require_whole_patches(student, stage, Network())  # before minutes of degrading
    layout = Layout(arguments.work)
    with alone(layout, "starter"):
        make(arguments, layout, student, stage)


def make(arguments: argparse.Namespace, layout: Layout, student: Student, stage: Stage) -> None:
    """`main` with its arguments, in a work tree where no other starter is made."""
    photos = find_photos(arguments.photos)
    if not (layout.dataset / "pairs.parquet").exists():
        for folder in (layout.raw, layout.synthetic):
            shutil.rmtree(folder, ignore_errors=True)
        make_tree(
            photos,
            layout,
            arguments.per_photo,
            arguments.seed,
            arguments.versions,
            arguments.fresh,
        )
    counts = train_stage(
        "transfer",
        Inputs(layout.dataset, (layout.raw, layout.synthetic), arguments.first),
        arguments.out,
        layout.scratch("starter"),
        student,
        stage,
    )
    write_json(
        arguments.out / "record.json",
        {
            "script": "training/starter.py",
            "packages": PACKAGES + PICTURED,
            "photos": {
                name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in photos.items()
            },
            "held_out": HELD_OUT,
            "per_photo": arguments.per_photo,
            "stage": stage.model_dump(mode="json"),
            "versions": arguments.versions,
            "degraders": degrader_versions(),
            "first": (arguments.first / "record.json").read_text() if arguments.first else None,
            "counts": counts.as_json(),
        },
    )


if __name__ == "__main__":
    with said_plainly():
        main()
