"""The squares that the embedder is trained from."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from catalog.degradations import Degradation
from catalog.files import atomic_folder, write_json
from catalog.images import Rgb
from catalog.progress import track
from networks.degraders import load_degrader

PACKAGES = Path(__file__).with_name("packages.json")
SIDE = 176
"""Of a stored square, in pixels; a view has 128."""

LEAST_SIDE = 250
LEAST_DETAIL = 14.0
"""Standard deviation of the grey values, of 255."""

SAME_PICTURE = 24
"""Hamming distance of two 256-bit pHashes up to which the second picture is left out."""

HELD_OUT_EVERY = 12
"""Every twelfth picture is measured on and never trained on."""


@dataclass(frozen=True)
class Squares:
    """What is kept of all pictures."""

    clean: np.ndarray
    """(n, SIDE, SIDE, 3) uint8"""
    degraded: np.ndarray
    """(n, 2, SIDE, SIDE, 3) uint8: two degraded versions of each"""
    label: np.ndarray
    """(n, 2) int64: which of the nine, by position"""
    severity: np.ndarray
    """(n, 2) float32, 1 extreme .. 5 barely visible"""
    picture: np.ndarray
    """(n,) int64: squares of one picture share a number"""

    @property
    def held_out(self) -> np.ndarray:
        """(n,) bool"""
        return self.picture % HELD_OUT_EVERY == 1


def pictures(folder: Path, packages: Path = PACKAGES) -> Iterator[tuple[str, Image.Image]]:
    """Name and picture of each that is large and rich enough, no two alike."""
    seen = np.zeros((0, 256), bool)
    for entry in json.loads(packages.read_text("utf-8")):
        root = folder / entry["package"]
        for path in sorted(root.glob(entry["pictures"])):
            if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp") or path.is_symlink():
                continue
            with Image.open(path) as opened:
                if min(opened.size) < LEAST_SIDE:
                    continue
                opened.draft("RGB", (1600, 1600))
                picture = Image.new("RGB", opened.size, (128, 128, 128))
                rgba = opened.convert("RGBA")
                picture.paste(rgba, mask=rgba.getchannel("A"))
            picture.thumbnail((1400, 1400))
            if min(picture.size) < LEAST_SIDE or np.asarray(picture.convert("L")).std() < 20:
                continue
            bits = imagehash.phash(picture, hash_size=16).hash.ravel()
            if len(seen) and (seen ^ bits).sum(axis=1).min() <= SAME_PICTURE:
                continue
            seen = np.concatenate([seen, bits[None]])
            yield f"{entry['package']}/{path.relative_to(root)}", picture


def cut(picture: Image.Image, rng: np.random.Generator) -> Iterator[Rgb]:
    """The whole picture squashed to a square, and crops that overlap by less than half."""
    yield np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    width, height = picture.size
    boxes: list[tuple[int, int, int, int]] = []
    for _ in range(24):
        if len(boxes) == 6:
            return
        across = int(rng.uniform(0.35, 0.65) * width)
        down = int(rng.uniform(0.35, 0.65) * height)
        if min(across, down) < SIDE * 0.8:
            continue
        left, top = int(rng.integers(width - across + 1)), int(rng.integers(height - down + 1))
        box = (left, top, left + across, top + down)
        if any(_overlap(box, other) > 0.35 for other in boxes):
            continue
        square = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=box))
        if square.mean(axis=2).std() >= LEAST_DETAIL:
            boxes.append(box)
            yield square


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Shared area over the smaller one's."""
    wide = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    tall = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return wide * tall / smaller


def make(folder: Path, target: Path, seed: int) -> None:
    """Cut and degrade the squares of all unpacked packages into the folder `target`, once."""
    if target.exists():
        return
    rng = np.random.default_rng(seed)
    clean: list[Rgb] = []
    number: list[int] = []
    names: list[str] = []
    for name, picture in track(pictures(folder), "pictures cut"):
        for square in cut(picture, rng):
            clean.append(square)
            number.append(len(names))
        names.append(name)
    tasks = list(Degradation)
    layers = [clean[i] for i in rng.integers(len(clean), size=64)]
    degraders = [
        load_degrader(task, layers=layers if task is Degradation.REFLECTION else ())
        for task in tasks
    ]
    label = rng.integers(len(tasks), size=(len(clean), 2))
    severity = rng.uniform(1.0, 4.0, size=(len(clean), 2))
    degraded = np.stack(
        [
            np.stack(
                [
                    degraders[task].degrade(square, float(level), rng)
                    for task, level in zip(tasks_of, levels, strict=True)
                ]
            )
            for square, tasks_of, levels in track(
                list(zip(clean, label, severity, strict=True)), "squares degraded"
            )
        ]
    )
    arrays = {
        "clean": np.stack(clean),
        "degraded": degraded,
        "label": label.astype(np.int64),
        "severity": severity.astype(np.float32),
        "picture": np.array(number, np.int64),
    }
    with atomic_folder(target) as temporary:
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array)
        write_json(temporary / "names.json", names)


def load(target: Path) -> Squares:
    """What `make` left, mapped from the disk."""
    return Squares(*(np.load(target / f"{f.name}.npy", mmap_mode="r") for f in fields(Squares)))
