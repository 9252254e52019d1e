"""Recall of scripted faults and false alarms of the whole pair screening.

    python benchmarks/pair_faults.py PHOTOS --store FOLDER [--photos 30] [--showcase REALIR]
    python benchmarks/pair_faults.py PACKAGES --packages --store FOLDER --calibrate

PHOTOS holds clean photos. Each is degraded heavily (severity 1.2 to 3) by all nine degradations;
the other side is the photo (sound) or the photo with one fault. What is counted is whether any rule
drops the pair, the judge's rules included. Measurements are kept in FOLDER, a file a photo, so that
a run goes on where it was and stricter limits are tried without measuring again; another judge is
asked again. --half even takes the other half of the photos, which may be looked at while
something is changed; --skip 1 takes photos beside those of --skip 0.

--calibrate prints quantiles of sound pairs, from which the limits in catalog/settings/pairs.py were
taken; with --packages, the photos are those of networks.changes.fit.
"""

import argparse
import csv
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.stats import binomtest

from catalog.degradations import Degradation
from catalog.files import atomic_file
from catalog.images import Rgb, decode
from catalog.progress import track
from catalog.settings.pairs import Pair
from curation.pair.measures import Instruments, Measures, compare
from curation.pair.verdict import drift_fault, movement_fault, verdict_of
from networks.degraders import load_degrader

Fault = Callable[[Rgb, np.random.Generator, Rgb], Rgb]
SEVERITY = (1.2, 3.0)
OBJECT = (0.08, 0.25)
"""Half axes of an object, as a share of the photo's shorter side."""
LEAST_CHANGE = 8.0
"""Mean change inside an object, grey levels: less would be no object."""


def _warp(image: Rgb, matrix: np.ndarray) -> Rgb:
    size = image.shape[1::-1]
    flags = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REFLECT_101}
    return cv2.warpAffine(image, matrix.astype(np.float32), size, **flags)


def shifted(image: Rgb, rng: np.random.Generator, other: Rgb, pixels: float) -> Rgb:
    """Moved by `pixels` in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    offset = (pixels * np.cos(angle), pixels * np.sin(angle))
    return _warp(image, np.array([[1, 0, offset[0]], [0, 1, offset[1]]]))


def turned(
    image: Rgb, rng: np.random.Generator, other: Rgb, scale: float = 1, degrees: float = 0
) -> Rgb:
    """Zoomed in or out, or rotated either way, around the centre."""
    sign = 1 if rng.random() < 0.5 else -1
    centre = (image.shape[1] / 2, image.shape[0] / 2)
    return _warp(image, cv2.getRotationMatrix2D(centre, sign * degrees, scale**sign))


def mirrored(image: Rgb, rng: np.random.Generator, other: Rgb) -> Rgb:
    """Left and right swapped."""
    return np.ascontiguousarray(image[:, ::-1])


def another(image: Rgb, rng: np.random.Generator, other: Rgb) -> Rgb:
    """Another photo, cut to the same aspect."""
    height, width = image.shape[:2]
    share = max(height / other.shape[0], width / other.shape[1])
    size = (max(round(other.shape[1] * share), width), max(round(other.shape[0] * share), height))
    return np.ascontiguousarray(
        cv2.resize(other, size, interpolation=cv2.INTER_AREA)[:height, :width]
    )


def _ellipse(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    mask = np.zeros(shape[:2], np.uint8)
    axes = [round(rng.uniform(*OBJECT) * min(shape[:2])) for _ in range(2)]
    centre = (int(rng.uniform(0.15, 0.85) * shape[1]), int(rng.uniform(0.15, 0.85) * shape[0]))
    cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
    return mask


def _visible(change: Callable[[], tuple[Rgb, np.ndarray]], image: Rgb) -> Rgb:
    """The first of ten tries that changes enough, else the last."""
    made = image
    for _ in range(10):
        made, mask = change()
        if np.abs(made.astype(float) - image).mean(axis=2)[mask > 0].mean() >= LEAST_CHANGE:
            break
    return made


def pasted(image: Rgb, rng: np.random.Generator, other: Rgb) -> Rgb:
    """An ellipse of another photo, with a soft edge."""

    def change() -> tuple[Rgb, np.ndarray]:
        mask = _ellipse(image.shape, rng)
        alpha = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 1.2)[:, :, None]
        whole = another(image, rng, other)
        return (image * (1 - alpha) + whole * alpha).astype(np.uint8), mask

    return _visible(change, image)


def removed(image: Rgb, rng: np.random.Generator, other: Rgb) -> Rgb:
    """The most textured of eight ellipses, painted over from around it (Telea 2004)."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)

    def change() -> tuple[Rgb, np.ndarray]:
        masks = [_ellipse(image.shape, rng) for _ in range(8)]
        mask = max(masks, key=lambda place: float(grey[place > 0].std()))
        wide = cv2.dilate(mask, np.ones((5, 5)))
        return cv2.inpaint(image, wide, 5, cv2.INPAINT_TELEA), mask

    return _visible(change, image)


def cut_off(image: Rgb, rng: np.random.Generator, other: Rgb) -> Rgb:
    """4 to 12 % at one side black, grey or smeared."""
    made = image.copy()
    width = max(round(rng.uniform(0.04, 0.12) * min(image.shape[:2])), 3)
    turns = int(rng.integers(4))
    side = np.rot90(made, turns)
    side[:width] = (0, int(rng.integers(256)), side[width])[int(rng.integers(3))]
    return made


def bent(image: Rgb, rng: np.random.Generator, other: Rgb) -> Rgb:
    """A smooth bump: one place moves by 3 to 6 px, fading out over a fifth of the longer side."""
    height, width = image.shape[:2]
    y, x = np.indices((height, width), dtype=np.float32)
    centre = (rng.uniform(0.3, 0.7) * height, rng.uniform(0.3, 0.7) * width)
    fade = np.exp(
        -((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * (0.1 * max(height, width)) ** 2)
    )
    angle, pixels = rng.uniform(0, 2 * np.pi), rng.uniform(3, 6)
    mapped = [
        (axis + pixels * part * fade).astype(np.float32)
        for axis, part in ((x, np.cos(angle)), (y, np.sin(angle)))
    ]
    return cv2.remap(image, *mapped, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def cast(image: Rgb, rng: np.random.Generator, other: Rgb) -> Rgb:
    """White balance off by 15 % in red and the other way in blue."""
    gain = 1.15 if rng.random() < 0.5 else 1 / 1.15
    return np.clip(image * np.array([gain, 1, 1 / gain]), 0, 255).astype(np.uint8)


def exposed(image: Rgb, rng: np.random.Generator, other: Rgb) -> Rgb:
    """Brighter or darker by 40 % in encoded values."""
    return np.clip(image * (1.4 if rng.random() < 0.5 else 1 / 1.4), 0, 255).astype(np.uint8)


FAULTS: dict[str, Sequence[Fault]] = {
    "shift 1 px": [partial(shifted, pixels=1)],
    "shift 2 to 8 px": [partial(shifted, pixels=px) for px in (2, 4, 8)],
    "zoom 1 to 3 %": [partial(turned, scale=1 + p / 100) for p in (1, 2, 3)],
    "rotation 0.5 to 2 deg": [partial(turned, degrees=d) for d in (0.5, 1, 2)],
    "mirrored": [mirrored],
    "object pasted": [pasted],
    "object removed": [removed],
    "another image": [another],
}
"""One of each is drawn for a photo and a degradation. Two more are the degraded image itself as the
target, and an object that is pasted before the photo is degraded, so that the target lacks it."""
BEYOND: dict[str, Fault] = {
    "border cut off": cut_off, "local warp": bent, "colour cast": cast, "exposure": exposed,
}  # fmt: skip
"""Not among the faults of the target; reported apart."""
INPUT, LACKS = "target is the input", "object lacks in the target"

SOUND = ("sound", "showcase")
Row = dict[str, Any]
Known = Mapping[tuple[str, str], Mapping[str, float]]


class Bench:
    """Measures photo after photo."""

    def __init__(self, beyond: bool, sound_only: bool) -> None:
        self.beyond, self.sound_only = beyond, sound_only
        self.instruments = Instruments(Pair())

    def photo(self, image: Rgb, other: Rgb, number: int, known: Known) -> list[Row]:
        """All pairs of one photo; `other` is where objects and reflections come from."""
        rows: list[Row] = []
        tasks = list(Degradation)[number % 3 :: 3] if self.sound_only else list(Degradation)
        for task in tasks:
            index = list(Degradation).index(task)
            severity = float(np.random.default_rng([number, index]).uniform(*SEVERITY))

            def degrade(photo: Rgb, task=task, severity=severity, index=index) -> Rgb:  # type: ignore[no-untyped-def]
                rng = np.random.default_rng([number, index, 1])
                return load_degrader(task, layers=[_flipped(other)]).degrade(photo, severity, rng)

            degraded = degrade(image)
            pairs = [("sound", degraded, image)]
            if not self.sound_only:
                rng = np.random.default_rng([number, index, 2])
                for name, kinds in FAULTS.items():
                    kind = kinds[int(rng.integers(len(kinds)))]
                    pairs.append((name, degraded, kind(image, rng, other)))
                pairs.append((INPUT, degraded, degraded))
                pairs.append((LACKS, degrade(pasted(image, rng, other)), image))
                if self.beyond:
                    pairs += [(n, degraded, f(image, rng, other)) for n, f in BEYOND.items()]
            rows += [self.row(name, task, severity, *sides, known) for name, *sides in pairs]
        return rows

    def row(
        self,
        name: str,
        task: Degradation,
        severity: float,
        degraded: Rgb,
        target: Rgb,
        known: Known,
    ) -> Row:
        """One pair, measured; what the cheaper rules drop already is not judged.

        `known` are scores from earlier, by name and degradation.
        """
        scores = known.get((name, task)) or compare(degraded, target, task)
        row: Row = {"fault": name, "task": task.value, "severity": severity, "scores": scores}
        if name in SOUND or cheap_fault(scores, task) is None:
            found = self.instruments.measure(degraded, target, task, aligned=True)
            row["judged"] = asdict(found) | {"scores": {}}
        return row


def cheap_fault(scores: Mapping[str, float], task: Degradation) -> str | None:
    """The rules that need no judge."""
    return movement_fault(scores, task, Pair()) or drift_fault(scores, task, Pair())


def fault_of(row: Mapping[str, Any]) -> str | None:
    """The rule that drops a pair; None where it is kept."""
    task, scores = Degradation(row["task"]), row["scores"]
    if found := cheap_fault(scores, task):
        return found
    if "judged" not in row:
        return None  # limits were loosened since: what the judge would say is not known
    judged = Measures(**row["judged"] | {"scores": scores})
    verdict, reason = verdict_of(judged, task, Pair())
    return reason if verdict == "drop" else None


def _flipped(image: Rgb) -> Rgb:
    # A reflection of the very photo that an object is pasted from would show the object's like.
    return np.ascontiguousarray(image[:, ::-1])


def showcase(bench: Bench, folder: Path) -> list[Row]:
    """Sound pairs of RealRestorer's page: those whose sides have one aspect ratio."""
    rows: list[Row] = []
    nothing: Known = {}
    with (folder / "manifest.csv").open() as file:
        for line in csv.DictReader(file):
            sides = [decode((folder / line[k]).read_bytes()) for k in ("degraded", "restored")]
            ratios = [side.shape[1] / side.shape[0] for side in sides]
            if abs(ratios[0] / ratios[1] - 1) < 0.005:
                size = sides[0].shape[1::-1]
                sides[1] = cv2.resize(sides[1], size, interpolation=cv2.INTER_AREA)
                task = Degradation(line["degradation"])
                row = bench.row("showcase", task, 0.0, sides[0], sides[1], nothing)
                rows.append(row | {"name": f"{task} {line['index']}"})
    return rows


def photos_of(options: argparse.Namespace) -> list[Callable[[], Rgb]]:
    """Loaders of the photos that are measured."""
    if options.packages:
        from networks.changes.fit.photos import load_photos

        def small(image: Rgb) -> Rgb:
            share = 481 / max(image.shape[:2])
            return cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)

        return [partial(small, image) for image in load_photos(options.folder)]
    found = sorted(options.folder.glob("*.jpg"))
    half = found[0::2] if options.half == "even" else found[1::2]
    chosen = half[options.skip :: max(1, len(half) // options.photos)][: options.photos]
    return [lambda path=path: decode(path.read_bytes()) for path in chosen]  # type: ignore[misc]


def main() -> None:
    """Measure what is missing, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=30)
    parser.add_argument("--skip", type=int, default=0, help="Photos left out at the beginning.")
    parser.add_argument("--half", choices=("odd", "even"), default="odd")
    parser.add_argument("--packages", action="store_true")
    parser.add_argument("--calibrate", action="store_true", help="Sound pairs alone.")
    parser.add_argument("--beyond", action="store_true", help="Borders, warps, casts too.")
    parser.add_argument("--showcase", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.store.mkdir(parents=True, exist_ok=True)
    loaders = photos_of(options)
    bench = Bench(options.beyond, options.calibrate)
    rows: list[Row] = []
    for number, load in enumerate(track(loaders, "photos", len(loaders))):
        # A third of the way round: never the photo itself.
        other = loaders[(number + max(len(loaders) // 3, 1)) % len(loaders)]
        rows += kept(
            options.store / f"{number:03d}.json",
            bench,
            lambda known, n=number, o=other, f=load: bench.photo(f(), o(), n, known),
        )  # type: ignore[misc]
    if options.calibrate:
        calibrate(rows)
        return
    if options.showcase:
        place = options.store / "showcase.json"
        rows += kept(place, bench, lambda known: showcase(bench, options.showcase))
    report(rows)


def kept(place: Path, bench: Bench, make: Callable[[Known], list[Row]]) -> list[Row]:
    """Rows from a file, made when it is not there or of another judge."""
    judge = str(bench.instruments.judge.identity)
    old = json.loads(place.read_text("utf-8")) if place.exists() else {"judge": None, "rows": []}
    if old["judge"] != judge:
        known = {(row["fault"], row["task"]): row["scores"] for row in old["rows"]}
        old = {"judge": judge, "rows": make(known)}
        with atomic_file(place) as temporary:
            temporary.write_text(json.dumps(old), "utf-8")
    found: list[Row] = old["rows"]
    return found


def calibrate(rows: Sequence[Row]) -> None:
    """Quantiles of every measure of sound pairs, by degradation."""
    by_task: defaultdict[str, defaultdict[str, list[float]]]
    by_task = defaultdict(lambda: defaultdict(list))
    for row in rows:
        judged = row["judged"]
        values = dict(row["scores"]) | {"consistency": judged["consistency"]}
        values["difference"] = judged["severity_clean"] - judged["severity_degraded"]
        values["clean"] = judged["severity_clean"]
        before, after = values["move-before"], values["move-after"]
        moved = values["move-relative"] > Pair().max_shift
        values["gain"] = moved * (after - before) / (1 - before)
        for name, value in values.items():
            by_task[name][row["task"]].append(value)
    marks = (0.005, 0.01, 0.02, 0.5, 0.98, 0.99, 0.995)
    for name, tasks in by_task.items():
        print(name, marks)
        for task, values in tasks.items():
            print(f"  {task:12} {len(values):4}", np.quantile(values, marks).round(3))


def report(rows: Sequence[Row]) -> None:
    """Recall by fault and degradation, false alarms and their reasons."""
    flagged: defaultdict[str, defaultdict[str, list[bool]]]
    flagged = defaultdict(lambda: defaultdict(list))
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        name, reason = row["fault"], fault_of(row)
        flagged[name][row["task"]].append(reason is not None)
        reasons[name][reason or "sound"] += 1
        if name == "showcase" and reason:
            print(f"showcase dropped: {row['name']}: {reason}")
    print("| pairs | n | flagged | 95 % |", *(f"{task} |" for task in Degradation))
    for name, tasks in flagged.items():
        cells = [f"{np.mean(tasks[t]):.2f} |" if tasks[t] else " |" for t in Degradation]
        print(f"| {name} | {_share([v for some in tasks.values() for v in some])} |", *cells)
    listed = [*FAULTS, INPUT, LACKS]
    faults = [v for name in listed for some in flagged[name].values() for v in some]
    sound = [v for some in flagged["sound"].values() for v in some]
    sound_all = sound + [v for some in flagged["showcase"].values() for v in some]
    for name, values in (("all faults", faults), ("sound", sound), ("with showcase", sound_all)):
        print(f"| {name} | {_share(values)} |")
    for name, counted in reasons.items():
        print(f"{name}: {dict(counted.most_common())}")


def _share(values: Sequence[bool]) -> str:
    if not values:
        return "0 | |"
    interval = binomtest(sum(values), len(values)).proportion_ci(method="wilson")
    return f"{len(values)} | {np.mean(values):.3f} | {interval.low:.3f} .. {interval.high:.3f}"


if __name__ == "__main__":
    main()
