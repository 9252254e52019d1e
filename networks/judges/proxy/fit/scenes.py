"""Photos degraded twice for the network, to two severities, as the judge sees them."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb, decode
from networks.degraders import load_degrader
from networks.judges.proxy.fit import sources
from networks.judges.proxy.fit.network import BORDER
from networks.judges.proxy.fit.samples import develop, publish
from networks.judges.proxy.views import shrink_to_coarse

HELD_OUT_EVERY = 6
"""Every sixth photo of `sources` is kept from the network."""
FIRST_HELD_OUT = 2
LONGEST = 1200
"""Pixels of the longer side at which photos are kept in memory."""
SHARES = {
    Degradation.BLUR: 1.6, Degradation.COMPRESSION: 1.0, Degradation.MOIRE: 1.0,
    Degradation.LOW_LIGHT: 0.5, Degradation.NOISE: 0.6, Degradation.FLARE: 1.0,
    Degradation.REFLECTION: 3.5, Degradation.HAZE: 1.5, Degradation.RAIN: 1.0,
}  # fmt: skip
"""How often each is made: more of what is hard to see."""
CLEAN = 0.3
"""Share of the scenes whose second version is clean."""
ALIKE = 0.6
"""Share of the others in which nothing but the severity differs."""
SIDES = (400, 560)
"""Longer side, px, of most of the photos that are degraded."""
LARGE = (560, 1100)
OFTEN_LARGE = 0.25
PUBLISHED = 0.25
"""Share of the versions that go through a web codec; their size stays."""
LAYERED = 0.8
"""Share of the reflections that mirror a photo; the others mirror a generated scene."""


@dataclass(frozen=True)
class Scene:
    """Two versions of one photo."""

    images: tuple[Rgb, Rgb]
    """(h, w, 3) each: their coarse views"""
    kind: int
    """Number of the degradation."""
    strengths: tuple[float, float]
    """0 at severity 5 .. 1 at severity 1; -1 for a clean version"""


def is_held_out(photo: int) -> bool:
    """Whether a photo of `sources` is kept from the network."""
    return photo % HELD_OUT_EVERY == FIRST_HELD_OUT


def photos(folder: Path) -> list[Rgb]:
    """The photos that the network is trained on, in order."""
    found = []
    for photo in range(sources.COUNT):
        if not is_held_out(photo):
            image = sources.load(folder, photo)
            share = min(LONGEST / max(image.shape[:2]), 1.0)
            found.append(
                cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
                if share < 1
                else image
            )
    return found


def make(photos: list[Rgb], rng: np.random.Generator) -> Scene:
    """Two versions of a random photo.

    What differs between them is how strong the degradation is, not what is in the photo: that is
    what the network is to learn, from a few hundred photos.
    """
    kinds, shares = list(SHARES), np.array(list(SHARES.values()))
    kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]

    def pick() -> Rgb:
        return photos[int(rng.integers(len(photos)))]

    photo = develop(_crop(pick(), rng), rng)
    mirrors = kind is Degradation.REFLECTION and rng.random() < LAYERED
    degrader = load_degrader(kind, layers=[_crop(pick(), rng)] if mirrors else [])
    seed = int(rng.integers(2**32))
    seeds = (seed, seed if rng.random() < ALIKE else seed + 1)
    clean = rng.random() < CLEAN
    images, strengths = [], []
    for number in range(2):
        image, severity = photo, 9.0
        if number == 0 or not clean:
            severity = float(rng.uniform(1, 5))
            image = degrader.degrade(photo, severity, np.random.default_rng(seeds[number]))
        if rng.random() < PUBLISHED:
            image = decode(publish(image, rng, keep=True))
        images.append(shrink_to_coarse(image))
        strengths.append((5 - severity) / 4)
    return Scene(
        (images[0], images[1]), list(Degradation).index(kind), (strengths[0], strengths[1])
    )


def window(scene: Scene, side: int, rng: np.random.Generator) -> tuple[Rgb, Rgb]:
    """(side, side, 3) of both versions: one place of the scene, mirrored at random."""
    height, width = scene.images[0].shape[:2]
    rows, columns = max(side - height, 0), max(side - width, 0)
    down = int(rng.integers(0, height + rows - side + 1))
    right = int(rng.integers(0, width + columns - side + 1))
    turned = rng.random() < 0.5

    def cut(image: Rgb) -> Rgb:
        if rows or columns:
            image = cv2.copyMakeBorder(image, 0, rows, 0, columns, BORDER)
        image = image[down : down + side, right : right + side]
        return np.ascontiguousarray(image[:, ::-1] if turned else image)

    return cut(scene.images[0]), cut(scene.images[1])


def _crop(photo: Rgb, rng: np.random.Generator) -> Rgb:
    height, width = photo.shape[:2]
    aspect = float(rng.choice([1.5, 1.33, 1.0, 0.75, 0.67], p=[0.4, 0.2, 0.15, 0.1, 0.15]))
    tall = float(rng.uniform(0.5, 1.0)) * min(height, width / aspect)
    rows, columns = int(tall), int(tall * aspect)
    down, right = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    crop = photo[down : down + rows, right : right + columns]
    span = LARGE if rng.random() < OFTEN_LARGE else SIDES
    share = float(np.exp(rng.uniform(*np.log(span)))) / max(rows, columns)
    if share < 1:
        crop = cv2.resize(crop, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)
