"""Moiré: a screen's sub-pixel lattice sampled by a camera's colour filter array.

The lattice of red, green and blue stripes is a product of two Fourier series in the screen's
coordinates, which perspective and lens distortion bend over the photo. Each sensor pixel sees one
colour of it; demosaicing turns the aliases into the coloured bands of real photos of screens. The
content itself is not moved, so the pair stays aligned.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.degraders import MoireRanges
from networks.degraders.base import Draw, ParametricDegrader, scale_of
from networks.degraders.fields import Field, draw_field
from networks.degraders.imaging import (
    demosaic,
    encode_curve,
    gaussian,
    mosaic,
    scaled,
    tinted,
    to_linear,
)

_ALIASES = {"colour": 0.45, "column": 0.2, "diagonal": 0.35}
"""Which lattice frequency the screen comes near: (1/2, 0), (0, 1/2) or (1/2, 1/2) per pixel."""


_BASES = {"colour": (0.5, 0.0), "column": (0.0, 0.5), "diagonal": (0.5, 0.5)}

BLACK = 0.012
"""Linear light of the screen's black."""

HEADROOM = 0.8
"""White is brought here before demosaicing, which the lattice would else clip."""

SHOULDER = 0.8
"""Linear light above which the camera's tone curve rolls off."""

_TOP = 1.5
"""Greatest light before HEADROOM is undone that the tone curve tells apart."""

LEAST = 0.02
"""What the darkest gap of the lattice still lets through."""


@dataclass(frozen=True)
class Lattice:
    """One pattern of sub-pixels over the photo."""

    period: float
    """Of the beat with the sensor, px."""
    base: tuple[float, float]
    """The sensor's frequency that the screen comes near, per pixel."""
    angle: float
    slope: float
    """Change of the lattice's frequency along `towards`: perspective."""
    towards: float
    bend: float
    """Radial distortion."""
    warp: Field
    waves: float
    """Periods that `warp` moves the bands by."""
    rows: float
    """Phase of the lattice of the gaps between rows."""

    @property
    def frequency(self) -> tuple[float, float]:
        """(x, y) of the colour lattice, per pixel."""
        return (
            self.base[0] + float(np.cos(self.angle)) / self.period,
            self.base[1] + float(np.sin(self.angle)) / self.period,
        )

    @property
    def gaps(self) -> tuple[float, float]:
        """(x, y) of the lattice of the gaps, at right angles and coarser, per pixel."""
        scale = 0.5 * (1 + 2 / self.period)
        return -scale * self.base[1], scale * max(self.base[0], 0.5)


@dataclass(frozen=True)
class MoirePlan:
    """Fused lattices and the camera that takes them."""

    lattices: tuple[Lattice, ...]
    contrast: float
    focus: Field
    optics: float
    """Sigma of the lens, px."""
    tint: np.ndarray
    """(3,) float32: the screen's cast and the exposure."""


class MoireDegrader(ParametricDegrader[MoireRanges, MoirePlan]):
    """A photo of a screen that shows the image."""

    degradation: ClassVar[Degradation] = Degradation.MOIRE

    def _plan(self, image: Rgb, draw: Draw) -> MoirePlan:
        ranges, rng = self.ranges, draw.rng
        size = (image.shape[0], image.shape[1])
        count = draw.integer("patterns", ranges.patterns)
        contrast = draw.graded("contrast", ranges.contrast)
        lattices = tuple(self._lattice(size, n, scale_of(image), draw) for n in range(count))
        focus = draw_field(*size, 2, rng, octaves=2)
        optics = draw.uniform("optics", (0.45, 0.8))
        cast = draw.graded("tint", ranges.tint) * rng.uniform(-1, 1)
        exposure = draw.uniform("exposure", (0.88, 1.2))
        tint = np.array([1 - cast, 1 - abs(cast) * 0.3, 1 + cast], np.float32) * exposure
        return MoirePlan(lattices, contrast, focus, optics, tint.astype(np.float32))

    def _lattice(self, size: tuple[int, int], number: int, scale: float, draw: Draw) -> Lattice:
        rng, ranges = draw.rng, self.ranges
        return Lattice(
            period=draw.uniform(f"period-{number}", ranges.period) * max(scale, 0.35),
            base=_BASES[draw.kind(f"alias-{number}", _ALIASES)],
            angle=draw.uniform(f"angle-{number}", (0.0, 2 * float(np.pi))),
            slope=draw.uniform(f"perspective-{number}", ranges.perspective),
            bend=draw.uniform(f"distortion-{number}", ranges.distortion),
            towards=float(rng.uniform(0, 2 * np.pi)),
            # Screens and lenses are never even: the bands of real photos wander and close to rings.
            waves=draw.uniform(f"warp-{number}", ranges.warp),
            warp=draw_field(*size, 1.6, rng, octaves=2),
            rows=float(rng.uniform(0, 6)),
        )

    def _render(self, image: Rgb, plan: MoirePlan) -> Rgb:
        height, width = image.shape[:2]
        gain = np.zeros((height, width), np.float32)
        for lattice in plan.lattices:
            gain += sampled(lattice, height, width)
        gain *= (0.55 + 0.45 * plan.focus.on(height, width)) * np.float32(
            plan.contrast / np.sqrt(len(plan.lattices))
        )
        # The lattice lives in the screen's light, and the screen's black is not black.
        raw = to_linear(mosaic(image)) * np.float32(1 - BLACK) + np.float32(BLACK)
        raw *= np.maximum(1 + gain, LEAST)
        colour = demosaic(raw * np.float32(HEADROOM))
        colour = tinted(gaussian(colour, plan.optics), plan.tint)
        return cv2.LUT(scaled(colour, 65535 / _TOP, cv2.CV_16U), _tone_table())


def shoulder(linear: np.ndarray) -> np.ndarray:
    """Highlights of the screen roll off instead of clipping."""
    rest = 1 - SHOULDER
    over = np.maximum(linear - SHOULDER, 0)
    return np.minimum(linear, SHOULDER) + rest * np.tanh(over / rest)


@lru_cache(maxsize=1)
def _tone_table() -> np.ndarray:
    """From 16-bit linear light before HEADROOM is undone to encoded 8 bits."""
    light = np.arange(65536) / 65535 * _TOP / HEADROOM
    return np.rint(encode_curve(np.clip(shoulder(light), 0, 1)) * 255).astype(np.uint8)


def sampled(lattice: Lattice, height: int, width: int) -> np.ndarray:
    """(h, w) float32 with mean about 0: the lattice as a Bayer sensor samples it."""
    side = max(height, width)
    # Phases reach thousands of turns, so whole turns are taken off before single precision.
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(width / 2)
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(height / 2)
    stretch = x * np.float32(lattice.slope * np.cos(lattice.towards) / side) + y * np.float32(
        lattice.slope * np.sin(lattice.towards) / side
    )
    if lattice.bend:
        stretch += (x**2 + y**2) * np.float32(lattice.bend / side**2)
    warp = lattice.warp.on(height, width)
    turns = _turns(lattice.frequency, x, y, stretch) + np.float32(lattice.waves) * warp
    # Sub-pixels of the three colours lie a third of a period apart.
    turns[0::2, 0::2] -= np.float32(1 / 3)
    turns[1::2, 1::2] += np.float32(1 / 3)
    rows = _turns(lattice.gaps, x, y, stretch) + np.float32(lattice.rows / (2 * np.pi))
    return 0.75 * _cosine(turns) + 0.2 * _cosine(rows)


def _turns(
    frequency: tuple[float, float], x: np.ndarray, y: np.ndarray, stretch: np.ndarray
) -> np.ndarray:
    """Turns of a wave at the stretched place, without the whole turns of the plain lattice."""
    across = (x.astype(np.float64) * frequency[0]) % 1.0
    down = (y.astype(np.float64) * frequency[1]) % 1.0
    moved = (x * np.float32(frequency[0]) + y * np.float32(frequency[1])) * stretch
    moved += across.astype(np.float32)
    moved += down.astype(np.float32)
    return moved


def _cosine(turns: np.ndarray) -> np.ndarray:
    turns -= np.floor(turns)
    turns *= np.float32(2 * np.pi)
    return cv2.polarToCart(np.ones_like(turns), turns)[0]
