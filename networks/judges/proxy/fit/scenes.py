"""Photos degraded twice for the network, to two severities, as the judge sees them."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from catalog.degradations import Degradation
from catalog.images import Rgb, decode
from networks.degraders import load_degrader
from networks.judges.proxy.fit import ladder
from networks.judges.proxy.fit.samples import develop, publish
from networks.judges.proxy.network import BORDER, CELL
from networks.judges.proxy.views import coarse_of

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
LEAST = 0.45
"""Smallest crop, of the largest of its aspect."""
SIDES = (400, 560)
"""Longer side, px, of most of the photos that are degraded."""
LARGE = (560, 1100)
OFTEN_LARGE = 0.25
OTHERS = 0.2
"""Share of the pictures that are textures, cut-out things and panoramas, not photos."""
JOINED = 0.2
"""Share of the pictures that a part of another is put into."""
PUBLISHED = 0.25
"""Share of the versions that go through a web codec; their size stays."""
NONE = 9.0
"""Stands for the severity of a clean version."""
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
    """(ceil(h / 8), ceil(w / 8), 4) float16 each: 0 (nothing was changed) .. about 1, and by how
    much the mean of the cell's red, green and blue went up, -1 .. 1"""


class Maker:
    """Makes scenes of photos and of other pictures."""

    def __init__(
        self,
        photos: Sequence[Rgb],
        others: Sequence[Rgb],
        shares: Mapping[Degradation, float] = SHARES,
    ) -> None:
        """`others` are textures, cut-out things and panoramas; `shares` as `SHARES`."""
        self.photos, self.others, self.shares = photos, others, shares

    def make(self, rng: np.random.Generator) -> Scene:
        """Two versions of a random picture.

        What differs between them is how strong the degradation is, not what is in the picture: that
        is what the network is to learn, from a few hundred photos.
        """
        kinds, shares = list(self.shares), np.array(list(self.shares.values()))
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
    """The root mean square change of each cell, on a scale that tells faint ones apart, and the
    mean change of each colour."""
    height, width = base.shape[:2]
    change = cv2.copyMakeBorder(
        image.astype(np.float32) - base.astype(np.float32),
        0, -height % CELL, 0, -width % CELL, BORDER,
    )  # fmt: skip
    square = (change**2).mean(axis=2)
    rms = np.sqrt(cv2.resize(square, None, fx=1 / CELL, fy=1 / CELL, interpolation=cv2.INTER_AREA))
    share = np.log1p(cv2.blur(rms, (3, 3)) / 3) / np.log1p(20)
    mean = cv2.resize(change, None, fx=1 / CELL, fy=1 / CELL, interpolation=cv2.INTER_AREA) / 255
    return np.dstack([share, mean]).astype(np.float16)


def _crop(photo: Rgb, rng: np.random.Generator) -> Rgb:
    return ladder.crop(photo, rng, LEAST, LARGE if rng.random() < OFTEN_LARGE else SIDES)
