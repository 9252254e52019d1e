"""Slow random fields over an image: banks of fog, uneven light, masks."""

from dataclasses import dataclass

import cv2
import numpy as np

_FINE = 32
"""A field whose cells are longer than this (px) is computed at a quarter of the resolution."""


@dataclass(frozen=True)
class Field:
    """Value noise: random grids, enlarged smoothly, each of half the weight of the one before."""

    grids: tuple[np.ndarray, ...]
    """Each (rows, columns) float32, 0..1."""

    def on(self, height: int, width: int) -> np.ndarray:
        """(h, w) float32, from about 0 to about 1 where it is not the same everywhere."""
        finest = max(self.grids[-1].shape)
        if max(height, width) < _FINE * finest:
            return self._summed(height, width)
        small = self._summed(max(2, round(height / 4)), max(2, round(width / 4)))
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)

    def _summed(self, height: int, width: int) -> np.ndarray:
        total = np.zeros((height, width), np.float32)
        for octave, grid in enumerate(self.grids):
            layer = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
            cv2.scaleAdd(layer, 0.5**octave, total, dst=total)
        low, high = float(total.min()), float(total.max())
        total -= low
        total /= max(high - low, 1e-6)
        return total


def draw_field(
    height: int, width: int, cells: float, rng: np.random.Generator, octaves: int = 3
) -> Field:
    """A field with `cells` cells along the long side of (height, width), doubled by octave."""
    grids = []
    for octave in range(octaves):
        count = cells * 2**octave
        rows = max(2, round(count * height / max(height, width)) + 1)
        columns = max(2, round(count * width / max(height, width)) + 1)
        grids.append(rng.random((rows, columns), dtype=np.float32))
    return Field(tuple(grids))


def smooth_noise(
    height: int, width: int, cells: float, rng: np.random.Generator, octaves: int = 3
) -> np.ndarray:
    """A field of `draw_field` as an array, (h, w) float32 in 0..1."""
    return draw_field(height, width, cells, rng, octaves).on(height, width)
