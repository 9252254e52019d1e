"""Recall of scripted faults and false alarms of the pair screening.

    python benchmarks/pair_faults.py FOLDER [--photos 60] [--calibrate] [--still] [--showcase DIR]

FOLDER holds clean photos. Each is degraded heavily (severity 1.2 to 3); the other side is the photo
(sound) or the photo with one fault. Photos are split in two halves: --calibrate prints limits from
the first (a quantile of its sound pairs), the test runs on the second. What is measured is
`movement_fault` and `drift_fault` of `curation.pair.verdict`; the judge's rules are not, since a
scripted target is always clean. --still leaves the faults that move the content out.
"""

import argparse
import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb, decode
from catalog.settings.pairs import Pair
from curation.pair.alignment import find_movement
from curation.pair.colour import find_drift
from curation.pair.content import compare_content
from curation.pair.verdict import drift_fault, movement_fault
from networks.degraders import load_degrader

Fault = Callable[[Rgb, np.random.Generator, Rgb], Rgb]


def _warp(image: Rgb, matrix: np.ndarray) -> Rgb:
    size = image.shape[1::-1]
    return cv2.warpAffine(
        image,
        matrix.astype(np.float32),
        size,
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )


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


def cast(image: Rgb, rng: np.random.Generator, other: Rgb) -> Rgb:
    """White balance off by 15 % in red and the other way in blue."""
    gain = 1.15 if rng.random() < 0.5 else 1 / 1.15
    return np.clip(image * np.array([gain, 1, 1 / gain]), 0, 255).astype(np.uint8)


def exposed(image: Rgb, rng: np.random.Generator, other: Rgb) -> Rgb:
    """Brighter or darker by 40 % in encoded values."""
    return np.clip(image * (1.4 if rng.random() < 0.5 else 1 / 1.4), 0, 255).astype(np.uint8)


def another(image: Rgb, rng: np.random.Generator, other: Rgb) -> Rgb:
    """Another photo."""
    return cv2.resize(other, image.shape[1::-1], interpolation=cv2.INTER_AREA)


def _ellipse(shape: Sequence[int], rng: np.random.Generator, share: float) -> np.ndarray:
    mask = np.zeros(shape[:2], np.uint8)
    radius = share * min(shape[:2])
    centre = (int(rng.uniform(0.2, 0.8) * shape[1]), int(rng.uniform(0.2, 0.8) * shape[0]))
    axes = (int(radius * rng.uniform(0.8, 1.2)), int(radius * rng.uniform(0.8, 1.2)))
    cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
    return mask


def pasted(image: Rgb, rng: np.random.Generator, other: Rgb) -> Rgb:
    """An ellipse of another photo, about 6 % of the area, with a soft edge."""
    mask = _ellipse(image.shape, rng, 0.16).astype(np.float32) / 255
    alpha = cv2.GaussianBlur(mask, (0, 0), 1.2)[:, :, None]
    return (image * (1 - alpha) + another(image, rng, other) * alpha).astype(np.uint8)


def removed(image: Rgb, rng: np.random.Generator, other: Rgb) -> Rgb:
    """The most textured of eight ellipses, about 4 % of the area, painted over."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    masks = [_ellipse(image.shape, rng, 0.14) for _ in range(8)]
    mask = max(masks, key=lambda place: float(grey[place > 0].std()))
    return cv2.inpaint(image, cv2.dilate(mask, np.ones((5, 5))), 5, cv2.INPAINT_TELEA)


FAULTS: dict[str, Fault] = {
    **{f"shift {px} px": partial(shifted, pixels=px) for px in (1, 2, 4, 8)},
    **{f"zoom {p} %": partial(turned, scale=1 + p / 100) for p in (1, 2, 3)},
    **{f"rotation {d} deg": partial(turned, degrees=d) for d in (0.5, 1, 2)},
    "mirrored": mirrored,
    "object pasted": pasted,
    "object removed": removed,
    "another image": another,
    "colour cast": cast,
    "exposure": exposed,
}
STILL = ("object pasted", "object removed", "colour cast", "exposure")
"""Faults that no movement is fitted for with --still, which takes a tenth of the time."""


def scores_of(degraded: Rgb, target: Rgb) -> dict[str, float]:
    """The scores that the verdict uses."""
    return find_movement(degraded, target).scores() | still_scores(degraded, target)


def still_scores(degraded: Rgb, target: Rgb) -> dict[str, float]:
    """Those for which nothing is aligned."""
    return compare_content(degraded, target).scores() | find_drift(degraded, target).scores()


Row = tuple[str, str, dict[str, float]]


def measure(number: int, paths: Sequence[Path], faults: Sequence[str]) -> list[Row]:
    """(degradation, fault, scores) of one photo; degradation "" marks the unchanged target."""
    cv2.setNumThreads(1)
    image = decode(paths[number].read_bytes())
    other = decode(paths[(number + 7) % len(paths)].read_bytes())
    rows: list[Row] = []
    for task in Degradation:
        rng = np.random.default_rng([number, list(Degradation).index(task)])
        degraded = load_degrader(task, layers=[other]).degrade(image, rng.uniform(1.2, 3.0), rng)
        if not faults:  # limits are calibrated for the content alone
            rows.append((task, "sound", still_scores(degraded, image)))
            continue
        score = still_scores if tuple(faults) == STILL else scores_of
        rows.append((task, "sound", score(degraded, image)))
        for name in faults:
            target = FAULTS[name](image, np.random.default_rng([number, 9]), other)
            rows.append((task, name, score(degraded, target)))
    return rows


def showcase(folder: Path, still: bool) -> list[Row]:
    """Sound pairs of RealRestorer's page: those whose sides have one aspect ratio."""
    rows: list[Row] = []
    with (folder / "manifest.csv").open() as file:
        for line in csv.DictReader(file):
            sides = [decode((folder / line[k]).read_bytes()) for k in ("degraded", "restored")]
            ratios = [side.shape[1] / side.shape[0] for side in sides]
            if abs(ratios[0] / ratios[1] - 1) < 0.005:
                size = sides[0].shape[1::-1]
                sides[1] = cv2.resize(sides[1], size, interpolation=cv2.INTER_AREA)
                score = still_scores if still else scores_of
                rows.append((line["degradation"], "showcase", score(*sides)))
    return rows


def main() -> None:
    """Measure, calibrate or test, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--still", action="store_true", help="Content and drift alone.")
    parser.add_argument("--quantile", type=float, default=0.985)
    parser.add_argument("--showcase", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    found = sorted(options.folder.glob("*.jpg"))
    half = found[0::2] if options.calibrate else found[1::2]
    paths = half[:: max(1, len(half) // options.photos)][: options.photos]
    faults = [] if options.calibrate else list(STILL if options.still else FAULTS)
    with ProcessPoolExecutor(options.processes) as pool:
        work = partial(measure, paths=paths, faults=faults)
        rows = [row for part in pool.map(work, range(len(paths))) for row in part]
    if options.calibrate:
        for setting, name in {
            "max_added": "content-added",
            "max_removed": "content-removed",
            "max_mismatch": "content-mismatch",
            "max_colour_drift": "drift-chroma",
            "max_exposure_drift": "drift-light",
        }.items():
            limits = {}
            for task in Degradation:
                values = [abs(s[name]) for d, _, s in rows if d == task]
                limits[task.value] = round(float(np.quantile(values, options.quantile)), 2)
            print(f"{setting}: {limits}")
        return
    if options.showcase:
        rows += showcase(options.showcase, options.still)
    report(rows)


def report(rows: Sequence[Row]) -> None:
    """Print recall by fault, and false alarms by degradation."""
    settings = Pair()
    flagged: defaultdict[str, list[bool]] = defaultdict(list)
    alarms: defaultdict[str, Counter[str]] = defaultdict(Counter)
    by_task: defaultdict[tuple[str, str], list[bool]] = defaultdict(list)
    for task, name, scores in rows:
        known = {"move-before": 1.0, "move-after": 1.0, "move-relative": 0.0} | scores
        reason = movement_fault(known, Degradation(task), settings) or drift_fault(
            known, Degradation(task), settings
        )
        flagged[name].append(reason is not None)
        by_task[name, task].append(reason is not None)
        if name in ("sound", "showcase"):
            alarms[task][reason or "none"] += 1
    print("| fault | pairs | flagged |", *(f" {task} |" for task in Degradation))
    for name, values in flagged.items():
        cells = [
            f" {np.mean(by_task[name, t]):.2f} |" if by_task[name, t] else " |" for t in Degradation
        ]
        print(f"| {name} | {len(values)} | {np.mean(values):.3f} |", *cells)
    faults = [v for name in FAULTS for v in flagged.get(name, [])]
    sound = flagged["sound"] + flagged.get("showcase", [])
    print(
        f"recall of faults {np.mean(faults):.3f} ({len(faults)}), "
        f"false alarms {np.mean(sound):.3f} ({len(sound)})"
    )
    print({task: dict(reasons) for task, reasons in alarms.items()})


if __name__ == "__main__":
    main()
