"""An assembled dataset as WebDataset shards and as a Hugging Face folder."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path

import datasets
import numpy as np
import pytest
import webdataset
from PIL import Image

from catalog import images, schemas
from catalog.alone import alone
from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.pairs import pair_id
from catalog.shards import ShardWriter
from catalog.tables import write_table
from curation.export import export
from curation.export.samples import plain_png, plan
from tests.curation.conftest import picture

REPOSITORY = Path(__file__).parents[3]
SPLITS = ("train", "validation", "held-out")
PAIRS = 11
MAIN = "from flows.cli import main; main()"


def photo(number: int) -> bytes:
    """A JPEG with an orientation, a place and a comment."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "SECRET PLACE"
    buffer = io.BytesIO()
    Image.fromarray(picture(number)).save(buffer, "JPEG", exif=exif, comment=b"SECRET WORD")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Eleven real pairs, eight of them for training, and one held-out image."""
    layout = Layout(tmp_path_factory.mktemp("export"))
    rows = []
    with ShardWriter(layout.raw / "one") as raw, ShardWriter(layout.targets) as targets:
        for number in range(PAIRS + 1):
            data = photo(number)
            given = {"license": "CC0-1.0", "creator": "Zoë", "source_page": f"https://a/{number}"}
            degraded = raw.add(data, images.read_header(data), given)
            clean = images.encode_png(255 - images.decode(data))
            made = targets.add(clean, images.read_header(clean), {**given, "source": "teacher/1"})
            rows.append(
                {
                    "pair_id": pair_id(degraded, made, "haze"),
                    "degraded_id": degraded,
                    "clean_id": made,
                    "degradation": "haze",
                    "origin": "real",
                    "group": degraded,
                    "photo_id": degraded,
                    "split": "train" if number < 8 else "validation",
                }
            )
    held = rows.pop()
    write_table(layout.dataset / "pairs.parquet", rows, schemas.DATASET)
    one = {"image_id": held["degraded_id"], "degradation": "haze", "group": held["group"]}
    write_table(layout.dataset / "held-out.parquet", [one], schemas.HELD_OUT)
    (layout.dataset / "README.md").write_text("---\nlicense: other\n---\n\n# The own card\n")
    layout.params.write_text((REPOSITORY / "profiles/embedded.yaml").read_text())
    return layout


def run(layout: Layout, out: Path, form: str, **more: object) -> None:
    sources = (layout.raw, layout.targets, layout.synthetic)
    export(layout.dataset, sources, out, form, SPLITS, per_shard=3, **more)  # type: ignore[arg-type]


def test_webdataset_reads_back_the_stored_pixels(layout: Layout, tmp_path: Path) -> None:
    out = tmp_path / "wds"
    run(layout, out, "webdataset")
    names = sorted(path.name for path in out.iterdir())
    tars = [f"train-{n:06d}.tar" for n in range(3)] + ["validation-000000.tar"]
    assert names == sorted(["README.md", "held-out-000000.tar", *tars])
    urls = [str(out / name) for name in names if name.startswith("train")]
    reader = webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8")
    samples = list(reader)
    assert len(samples) == 8
    for sample in samples:
        facts = sample["json"]
        assert sample["__key__"] == facts["pair_id"]
        assert np.array_equal(sample["clean.png"], 255 - sample["degraded.png"])
        assert sample["degraded.png"].shape == (128, 96, 3), "the orientation is applied"
        assert (facts["creator"], facts["made_by"]) == ("Zoë", "teacher/1")
        assert facts["instruction"] == "Please dehaze the image"
    with tarfile.open(out / "held-out-000000.tar") as tar:
        assert [name.split(".", 1)[1] for name in tar.getnames()] == ["degraded.png", "json"]
    again = tmp_path / "again"
    run(layout, again, "webdataset")
    assert all((again / name).read_bytes() == (out / name).read_bytes() for name in names)


@pytest.mark.parametrize("form", ["webdataset", "huggingface"])
def test_load_dataset_opens_the_folder_by_its_card(
    layout: Layout, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(layout, out, form)
    found = datasets.load_dataset(str(out), "pairs", cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in found.items()} == {"train": 8, "validation": 3}
    row = found["train"][0]
    side = {"huggingface": ("degraded", "clean"), "webdataset": ("degraded.png", "clean.png")}[form]
    degraded, clean = (np.asarray(row[name]) for name in side)
    assert np.array_equal(clean, 255 - degraded)
    held = datasets.load_dataset(str(out), "held-out", cache_dir=str(tmp_path / "cache"))
    assert len(held["test"]) == 1
    card = (out / "README.md").read_text()
    assert card.count("---\n") == 2 and "# The own card" in card


@pytest.mark.parametrize("form", ["webdataset", "huggingface"])
def test_what_the_first_samples_lack_is_still_text(
    layout: Layout, tmp_path: Path, form: str
) -> None:
    parts, _ = plan(layout.dataset, ["train"], 100)
    last = parts[0].samples[-1].degraded_id
    with ShardWriter(tmp_path / "raw") as raw:
        for number in range(PAIRS + 1):
            data = photo(number)
            known = images.image_id(data) == last
            raw.add(data, images.read_header(data), {"creator": "Zoë" if known else None})
    out = tmp_path / "out"
    export(layout.dataset, (tmp_path / "raw", layout.targets), out, form, SPLITS)
    found = datasets.load_dataset(str(out), "pairs", cache_dir=str(tmp_path / "cache"))["train"]
    creators = [(row.get("json") or row)["creator"] for row in found]
    assert creators == [None] * 7 + ["Zoë"]


def test_nothing_but_pixels_leaves(layout: Layout, tmp_path: Path) -> None:
    for form in ("webdataset", "huggingface"):
        run(layout, tmp_path / form, form)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert all(b"SECRET" not in data and b"Exif" not in data for data in written)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "I;16"])
def test_png_of_every_mode_leaves_as_the_pixels_that_are_trained_on(mode: str) -> None:
    whole = Image.fromarray(picture(3))
    if mode == "I;16":
        whole = Image.fromarray(np.asarray(whole.convert("L")).astype(np.uint16) * 257)
    elif mode in ("LA", "RGBA"):
        whole = whole.convert(mode)
        whole.putalpha(Image.linear_gradient("L").resize(whole.size))
    buffer = io.BytesIO()
    (whole if mode == "I;16" else whole.convert(mode)).save(buffer, "PNG")
    left = plain_png(buffer.getvalue())
    shown = np.asarray(Image.open(io.BytesIO(left)))
    assert np.array_equal(shown, images.decode(buffer.getvalue()))
    assert (left == buffer.getvalue()) == (mode == "RGB")


@pytest.mark.parametrize("form", ["webdataset", "huggingface"])
def test_a_reflection_carries_the_terms_of_both_photos(tmp_path: Path, form: str) -> None:
    layout = Layout(tmp_path)
    photo_of, layer_of = (
        {"license": "CC0-1.0", "creator": "Ada", "url": "https://a/1.jpg"},
        {"license": "CC-BY-4.0", "creator": "Zoë", "url": "https://b/2.jpg"},
    )
    made = {"license": "CC0-1.0", "creator": "Ada"}
    with ShardWriter(layout.raw / "one") as raw, ShardWriter(layout.synthetic) as synthetic:
        ids = [
            shards.add(png, images.read_header(png), given)
            for number, (shards, given) in enumerate(
                (
                    (raw, photo_of),
                    (raw, layer_of),
                    (synthetic, {**photo_of, "source": "scaled"}),
                    (synthetic, {**made, "source": "reflection/1"}),
                )
            )
            if (png := images.encode_png(picture(number)))
        ]
    photo, layer, clean, degraded = ids
    row = {
        "pair_id": pair_id(degraded, clean, "reflection"),
        "degraded_id": degraded,
        "clean_id": clean,
        "degradation": "reflection",
        "origin": "synthetic",
        "group": photo,
        "photo_id": photo,
        "layer_id": layer,
        "split": "train",
    }
    write_table(layout.dataset / "pairs.parquet", [row], schemas.DATASET)
    write_table(layout.dataset / "held-out.parquet", [], schemas.HELD_OUT)
    run(layout, tmp_path / "out", form)
    found = datasets.load_dataset(
        str(tmp_path / "out"), "pairs", split="train", cache_dir=str(tmp_path / "cache")
    )[0]
    facts = found.get("json") or found
    assert (facts["made_by"], facts["photo_id"]) == ("reflection/1", photo)
    assert [facts[name] for name in photo_of] == list(photo_of.values())
    assert facts["layer_id"] == layer
    assert [facts[f"layer_{name}"] for name in layer_of] == list(layer_of.values())
    assert facts["layer_source_page"] is None


def test_taken_down_since_is_left_out(layout: Layout, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = images.image_id(photo(0))
    run(layout, out, "huggingface", blocked=frozenset({first}))
    found = datasets.load_dataset(str(out), "pairs", cache_dir=str(tmp_path / "cache"))
    assert len(found["train"]) == 7 and first not in found["train"]["degraded_id"]


def test_a_killed_export_goes_on_and_appears_whole(layout: Layout, tmp_path: Path) -> None:
    out, place = tmp_path / "out", tmp_path / ".out.export"
    work = place / "content"
    command = [sys.executable, "-c", MAIN, "export", "--out", str(out), "--per-shard", "1"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    for _ in range(10):  # a signal may come when all is over: then once more
        _kill_in_the_middle(command, layout.root, environment, work)
        if not out.exists():
            break
        shutil.rmtree(out)
    assert work.is_dir() and not out.exists()
    before = {path: path.stat().st_mtime_ns for path in work.glob("*.tar")}
    # Another one at the same time is refused, and takes nothing away.
    with alone(place, "held"), pytest.raises(UserError, match="Another export to"):
        run(layout, out, "huggingface")
    text = subprocess.run(
        command, cwd=layout.root, env=environment, check=True, capture_output=True
    )
    assert f"({len(before)} from an earlier run)".encode() in text.stdout
    assert len(list(out.glob("*.tar"))) == PAIRS + 1 and not place.exists()
    assert all((out / path.name).stat().st_mtime_ns == time for path, time in before.items())
    assert not list(out.glob(".*"))


def _kill_in_the_middle(
    command: list[str], folder: Path, environment: dict[str, str], work: Path
) -> None:
    process = subprocess.Popen(command, cwd=folder, env=environment)
    while not list(work.glob("*.tar")):
        try:
            code = process.wait(0.002)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"the export ended by itself with {code} before it was killed")
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("form", ["webdataset", "huggingface"])
def test_memory_holds_a_part_of_a_shard(tmp_path: Path, form: str) -> None:
    layout, rng, rows = Layout(tmp_path), np.random.default_rng(0), []
    with ShardWriter(layout.raw / "one") as raw, ShardWriter(layout.targets) as targets:
        for _ in range(100):
            pngs = [images.encode_png(side) for side in rng.integers(0, 256, (2, 96, 96, 3), "u1")]
            degraded, made = (
                shards.add(png, images.read_header(png))
                for shards, png in zip((raw, targets), pngs, strict=True)
            )
            row = {"degraded_id": degraded, "clean_id": made, "degradation": "haze"}
            row |= {"pair_id": degraded, "origin": "real", "group": degraded, "split": "train"}
            rows.append(row)
    write_table(layout.dataset / "pairs.parquet", rows, schemas.DATASET)
    write_table(layout.dataset / "held-out.parquet", [], schemas.HELD_OUT)
    sources = (layout.raw, layout.targets)
    tracemalloc.start()
    export(layout.dataset, sources, tmp_path / "out", form, SPLITS, per_shard=100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    (shard,) = (path for path in (tmp_path / "out").rglob("train-*"))
    assert peak < shard.stat().st_size / 2


def test_it_refuses_what_is_there_and_what_is_not(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists already"):
        run(layout, tmp_path, "webdataset")
    with pytest.raises(UserError, match="in no shard"):
        export(layout.dataset, (layout.targets,), tmp_path / "a", "webdataset", SPLITS)
    assert not (tmp_path / "a").exists()


def test_json_has_the_same_names_in_every_sample(layout: Layout, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(layout, out, "webdataset")
    names = set()
    for path in out.glob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar.getmembers():
                if member.name.endswith(".json"):
                    facts = json.load(tar.extractfile(member))  # type: ignore[arg-type]
                    names.add(tuple(facts))
                    assert Degradation(facts["degradation"])
    assert len(names) == 1
