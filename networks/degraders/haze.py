"""Haze: Koschmieder's law, I = J t + A (1 - t) with t = exp(-b d), in linear light."""

from typing import ClassVar

import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.degraders import HazeRanges
from networks.degraders.base import Draw, ParametricDegrader, scale_of
from networks.degraders.imaging import gaussian, smooth_noise, to_linear, to_srgb
from networks.degraders.scene import DepthEstimator, PriorDepth


def scatter(linear: np.ndarray, thickness: np.ndarray, airlight: np.ndarray) -> np.ndarray:
    """(h, w, 3) linear light through fog of (h, w) optical thickness lit by `airlight` (3,)."""
    through = np.exp(-thickness)[:, :, None]
    return linear * through + airlight * (1 - through)


def airlight_of(level: float, tint: float) -> np.ndarray:
    """Linear light of fog whose encoded brightness is `level`, bluer for a positive `tint`."""
    encoded = np.clip(np.array([level - tint, level, level + tint]), 0, 1)
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype(
        np.float32
    )


class HazeDegrader(ParametricDegrader[HazeRanges]):
    """Fog or haze by estimated depth, in banks."""

    degradation: ClassVar[Degradation] = Degradation.HAZE

    def __init__(self, ranges: HazeRanges, depth: DepthEstimator | None = None) -> None:
        super().__init__(ranges)
        self.depth = depth or PriorDepth()

    def _apply(self, image: Rgb, draw: Draw) -> Rgb:
        ranges, rng = self.ranges, draw.rng
        height, width = image.shape[:2]
        near = draw.uniform("near", ranges.near)
        depth = near + (1 - near) * self.depth.depth(image, rng)
        uneven = draw.uniform("uneven", ranges.uneven)
        banks = 1 + uneven * (2 * smooth_noise(height, width, 2.5, rng) - 1)
        thickness = draw.graded("density", ranges.density) * depth * banks
        level = draw.uniform("airlight", ranges.airlight)
        airlight = airlight_of(level, draw.uniform("tint", ranges.tint))
        linear = to_linear(image)
        # Light scattered more than once also blurs what is far away.
        soft = gaussian(linear, 1.4 * scale_of(image))
        blend = np.clip(thickness / 3, 0, 1)[:, :, None] * 0.7
        return to_srgb(scatter(linear + (soft - linear) * blend, thickness, airlight))
