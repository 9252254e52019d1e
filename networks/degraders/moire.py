"""Moiré: a screen's sub-pixel lattice sampled by a camera's colour filter array.

The lattice of red, green and blue stripes is a product of two Fourier series in the screen's
coordinates, which perspective and lens distortion bend over the photo. Each sensor pixel sees one
colour of it; demosaicing turns the aliases into the coloured bands of real photos of screens. The
content itself is not moved, so the pair stays aligned.
"""

from typing import ClassVar

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.degraders import MoireRanges
from networks.degraders.base import Draw, ParametricDegrader, scale_of
from networks.degraders.imaging import demosaic, gaussian, mosaic, smooth_noise, to_linear, to_srgb

_ALIASES = {"colour": 0.45, "column": 0.2, "diagonal": 0.35}
"""Which lattice frequency the screen comes near: (1/2, 0), (0, 1/2) or (1/2, 1/2) per pixel."""


class MoireDegrader(ParametricDegrader[MoireRanges]):
    """A photo of a screen that shows the image."""

    degradation: ClassVar[Degradation] = Degradation.MOIRE

    def _apply(self, image: Rgb, draw: Draw) -> Rgb:
        ranges, rng = self.ranges, draw.rng
        height, width = image.shape[:2]
        count = draw.integer("patterns", ranges.patterns)
        contrast = draw.graded("contrast", ranges.contrast)
        # The screen's black is not black, and the lattice lives in its light.
        linear = 0.012 + 0.988 * to_linear(image)
        raw = mosaic(linear)
        gain = np.zeros((height, width), np.float32)
        for number in range(count):
            gain += self._lattice(height, width, number, scale_of(image), draw) / np.sqrt(count)
        focus = 0.55 + 0.45 * smooth_noise(height, width, 2, rng, octaves=2)
        raw *= np.maximum(1 + contrast * focus * gain, 0.02)
        colour = demosaic(raw * 0.8) / 0.8
        colour = gaussian(colour, draw.uniform("optics", (0.45, 0.8)))
        cast = draw.graded("tint", ranges.tint) * rng.uniform(-1, 1)
        exposure = draw.uniform("exposure", (0.88, 1.2))
        tint = np.array([1 - cast, 1 - abs(cast) * 0.3, 1 + cast], np.float32) * exposure
        # The camera's shoulder: highlights of the screen roll off instead of clipping.
        colour = colour * tint
        return to_srgb(np.where(colour > 0.8, 0.8 + 0.2 * np.tanh((colour - 0.8) / 0.2), colour))

    def _lattice(
        self, height: int, width: int, number: int, scale: float, draw: Draw
    ) -> np.ndarray:
        """(h, w) float32 with mean about 0: the lattice as the Bayer sensor samples it."""
        rng = draw.rng
        period = draw.uniform(f"period-{number}", self.ranges.period) * max(scale, 0.35)
        alias = draw.kind(f"alias-{number}", _ALIASES)
        angle = draw.uniform(f"angle-{number}", (0.0, 2 * float(np.pi)))
        slope = draw.uniform(f"perspective-{number}", self.ranges.perspective)
        bend = draw.uniform(f"distortion-{number}", self.ranges.distortion)
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        side = max(height, width)
        across, down = (x - width / 2) / side, (y - height / 2) / side
        towards = rng.uniform(0, 2 * np.pi)
        # The lattice's coordinates are stretched along one direction and radially.
        stretch = slope * (across * np.cos(towards) + down * np.sin(towards)) + bend * (
            across**2 + down**2
        )
        u = x + across * side * stretch
        v = y + down * side * stretch
        beat = np.array([np.cos(angle), np.sin(angle)]) / period
        base = {"colour": (0.5, 0.0), "column": (0.0, 0.5), "diagonal": (0.5, 0.5)}[alias]
        wave = 2 * np.pi * ((base[0] + beat[0]) * u + (base[1] + beat[1]) * v)
        # Screens and lenses are never even: the bands of real photos wander and close into rings.
        waves = draw.uniform(f"warp-{number}", self.ranges.warp)
        wave += 2 * np.pi * waves * smooth_noise(height, width, 1.6, rng, octaves=2)
        # Sub-pixels of the three colours lie a third of a period apart.
        shift = np.zeros((height, width), np.float32)
        shift[0::2, 0::2] = -2 * np.pi / 3
        shift[1::2, 1::2] = 2 * np.pi / 3
        phase = (wave + shift).astype(np.float32)
        lattice = cv2.polarToCart(np.ones_like(phase), phase)[0]
        # The rows between sub-pixels: a weaker lattice at right angles.
        rows = (np.pi * (1 + 2 / period)) * (u * -base[1] + v * max(base[0], 0.5))
        second = cv2.polarToCart(np.ones_like(phase), (rows + rng.uniform(0, 6)).astype(np.float32))
        return 0.75 * lattice + 0.2 * second[0]
