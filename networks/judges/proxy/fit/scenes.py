"""Photos degraded twice for the network, to two severities, as the judge sees them."""

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from catalog.degradations import Degradation
from catalog.images import Rgb, decode
from networks.degraders import load_degrader
from networks.judges.proxy.fit import ladder, sources
from networks.judges.proxy.fit.samples import develop, publish
from networks.judges.proxy.network import BORDER, CELL
from networks.judges.proxy.views import coarse_of

HELD_OUT_EVERY = 6
"""Every sixth photo of `sources` is kept from the network."""
FIRST_HELD_OUT = 2
LONGEST = 1200
"""Pixels of the longer side at which photos are kept in memory."""
SHARES = {
    Degradation.BLUR: 2.5, Degradation.COMPRESSION: 0.4, Degradation.MOIRE: 1.5,
    Degradation.LOW_LIGHT: 0.4, Degradation.NOISE: 0.4, Degradation.FLARE: 0.6,
    Degradation.REFLECTION: 5.0, Degradation.HAZE: 2.0, Degradation.RAIN: 0.6,
}  # fmt: skip
"""How often each is made: more of what is hard to see."""
CLEAN = 0.35
"""Share of the scenes whose second version is clean."""
ALIKE = 0.6
"""Share of the others in which nothing but the severity differs."""
LEAST = 0.35
"""Smallest crop, of the largest of its aspect."""
SIDES = (400, 560)
"""Longer side, px, of most of the photos that are degraded."""
LARGE = (560, 1100)
OFTEN_LARGE = 0.25
OTHERS = 0.2
"""Share of the pictures that are textures, cut-out things and panoramas, not `sources.load`'s."""
JOINED = 0.2
"""Share of the pictures that a part of another is put into."""
PUBLISHED = 0.25
"""Share of the versions that go through a web codec; their size stays."""
NONE = 9.0
"""Stands for the severity of a clean version."""
LEAST_SIDE = 300
"""Shorter side, px, of the other pictures that are taken."""
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
    effects: tuple[np.ndarray, np.ndarray]
    """(ceil(h / 8), ceil(w / 8)) float16 each: 0 (nothing was changed) .. about 1"""


def is_held_out(photo: int) -> bool:
    """Whether a photo of `sources` is kept from the network."""
    return photo % HELD_OUT_EVERY == FIRST_HELD_OUT


class Maker:
    """Makes scenes of the photos that the network is trained on, and of other pictures."""

    def __init__(self, folder: Path) -> None:
        """Read all of them; `folder` as in `sources.load`, whose errors are raised."""
        count = sources.COUNT
        self.photos = [_kept(sources.load(folder, n)) for n in range(count) if not is_held_out(n)]
        self.others = [
            image
            for image in map(np.load, sources.other_pictures(folder))
            if min(image.shape[:2]) >= LEAST_SIDE
        ]

    def make(self, rng: np.random.Generator) -> Scene:
        """Two versions of a random picture.

        What differs between them is how strong the degradation is, not what is in the picture: that
        is what the network is to learn, from a few hundred photos.
        """
        kinds, shares = list(SHARES), np.array(list(SHARES.values()))
        kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
        photo = _used(develop(self._content(rng), rng), rng)
        mirrors = kind is Degradation.REFLECTION and rng.random() < LAYERED
        degrader = load_degrader(kind, layers=[_crop(self._pick(rng), rng)] if mirrors else [])
        seed = int(rng.integers(2**32))
        seeds = (seed, seed if rng.random() < ALIKE else seed + 1)
        clean = rng.random() < CLEAN
        images, strengths, effects = [], [], []
        base = coarse_of(photo)
        for number in range(2):
            image, severity = photo, NONE
            if number == 0 or not clean:
                severity = float(rng.uniform(1, 5))
                image = degrader.degrade(photo, severity, np.random.default_rng(seeds[number]))
            effects.append(_effect(base, coarse_of(image)))
            if rng.random() < PUBLISHED:
                image = decode(publish(image, rng, keep=True))
            images.append(coarse_of(image))
            strengths.append((5 - severity) / 4)
        return Scene(
            (images[0], images[1]),
            list(Degradation).index(kind),
            (strengths[0], strengths[1]),
            (effects[0], effects[1]),
        )

    def _content(self, rng: np.random.Generator) -> Rgb:
        """A crop of a picture, often changed so that few pictures do not look like themselves."""
        crop = _crop(self._pick(rng), rng)
        if rng.random() < JOINED:
            crop = _joined(crop, _crop(self._pick(rng), rng), rng)
        return _disguised(crop, rng)

    def _pick(self, rng: np.random.Generator) -> Rgb:
        chosen = self.others if rng.random() < OTHERS else self.photos
        return chosen[int(rng.integers(len(chosen)))]


def _kept(image: Rgb) -> Rgb:
    share = LONGEST / max(image.shape[:2])
    if share >= 1:
        return image
    return cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)


def window(
    scene: Scene, side: int, rng: np.random.Generator
) -> tuple[tuple[Rgb, Rgb], tuple[np.ndarray, np.ndarray]]:
    """(side, side, 3) of both versions, one place of the scene, mirrored at random; and effects."""
    height, width = scene.images[0].shape[:2]
    rows, columns = max(side - height, 0), max(side - width, 0)
    down = int(rng.integers(0, (height + rows - side) // CELL + 1)) * CELL
    right = int(rng.integers(0, (width + columns - side) // CELL + 1)) * CELL
    turned = rng.random() < 0.5

    def cut(image: np.ndarray, scale: int) -> np.ndarray:
        extent, first, second = side // scale, down // scale, right // scale
        image = image[first : first + extent, second : second + extent]
        lack = (extent - image.shape[0], extent - image.shape[1])
        if any(lack):
            image = cv2.copyMakeBorder(image, 0, lack[0], 0, lack[1], BORDER)
        return np.ascontiguousarray(image[:, ::-1] if turned else image)

    a, b = scene.images
    x, y = (effect.astype(np.float32) for effect in scene.effects)
    return (cut(a, 1), cut(b, 1)), (cut(x, CELL), cut(y, CELL))


def _joined(first: Rgb, second: Rgb, rng: np.random.Generator) -> Rgb:
    """The first with a part, from one of its sides on, of the second."""
    height, width = first.shape[:2]
    other = cv2.resize(second, (width, height), interpolation=cv2.INTER_AREA)
    whole = first.copy()
    if rng.random() < 0.5:
        at = int(rng.uniform(0.3, 0.7) * width)
        whole[:, at:] = other[:, at:]
    else:
        at = int(rng.uniform(0.3, 0.7) * height)
        whole[at:] = other[at:]
    return whole


def _disguised(photo: Rgb, rng: np.random.Generator) -> Rgb:
    """Turned, upside down, in other colours, in another tone: each with a chance of its own."""
    if rng.random() < 0.2:
        photo = np.rot90(photo)
    if rng.random() < 0.2:
        photo = photo[::-1]
    if rng.random() < 0.3:
        photo = photo[:, :, rng.permutation(3)]
    if rng.random() < 0.3:
        line = (np.linspace(0, 1, 256) ** float(np.exp(rng.uniform(-0.6, 0.6))) * 255).astype(
            np.uint8
        )
        photo = cv2.LUT(np.ascontiguousarray(photo), line)
    return np.ascontiguousarray(photo)


def _used(photo: Rgb, rng: np.random.Generator) -> Rgb:
    """As photos are that were kept as JPEG, some of them a little soft or off in colour."""
    if rng.random() < 0.4:
        gains = np.exp(rng.normal(0, 0.06, 3))
        photo = np.clip(photo * gains + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.35:
        photo = cv2.GaussianBlur(photo, (0, 0), float(rng.uniform(0.3, 0.8)))
    if rng.random() < 0.5:
        quality = int(rng.integers(75, 97))
        buffer = io.BytesIO()
        Image.fromarray(photo).save(buffer, "JPEG", quality=quality)
        photo = decode(buffer.getvalue())
    return photo


def _effect(base: Rgb, image: Rgb) -> np.ndarray:
    """The root mean square change of each cell, on a scale that tells faint ones apart."""
    square = ((image.astype(np.float32) - base.astype(np.float32)) ** 2).mean(axis=2)
    height, width = square.shape
    square = cv2.copyMakeBorder(square, 0, -height % CELL, 0, -width % CELL, BORDER)
    rms = np.sqrt(cv2.resize(square, None, fx=1 / CELL, fy=1 / CELL, interpolation=cv2.INTER_AREA))
    return (np.log1p(cv2.blur(rms, (3, 3)) / 3) / np.log1p(20)).astype(np.float16)


def _crop(photo: Rgb, rng: np.random.Generator) -> Rgb:
    return ladder.crop(photo, rng, LEAST, LARGE if rng.random() < OFTEN_LARGE else SIDES)
