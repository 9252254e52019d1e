"""Haze: Koschmieder's law, I = J t + A (1 - t) with t = exp(-b d), in linear light."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.degraders import HazeRanges
from networks.degraders.base import Draw, ParametricDegrader, scale_of
from networks.degraders.fields import Field, draw_field
from networks.degraders.imaging import (
    REC_709,
    blend,
    gaussian,
    mixed,
    to_linear,
    to_srgb,
)
from networks.degraders.patterns import draw_pattern
from networks.degraders.scene import DepthEstimator, PriorDepth

SOFTENING = (1.4, 0.7, 3.0)
"""Light scattered more than once also blurs what is far away: sigma (px at 512), most share of the
blurred image, and the thickness at which it is reached.
"""


def airlight_of(level: float, tint: float) -> np.ndarray:
    """Linear light of fog whose encoded brightness is `level`, bluer for a positive `tint`."""
    encoded = np.clip(np.array([level - tint, level, level + tint]), 0, 1)
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype(
        np.float32
    )


@dataclass(frozen=True)
class HazePlan:
    """Fog by depth."""

    depth: np.ndarray
    """(h, w) float32, 0 near .. 1 far."""
    near: float
    """Thickness of the nearest point, as a share of the greatest."""
    density: float
    banks: Field
    uneven: float
    airlight: np.ndarray
    """(3,) linear light."""
    pattern: np.ndarray | None
    """(h, w) float32 of about 0..1, which half of the thickness then follows."""
    soft: float
    """Sigma of the blur of what is far, px."""

    def thickness(self) -> np.ndarray:
        """Optical thickness, (h, w) float32."""
        banks = 1 + self.uneven * (2 * self.banks.on(*self.depth.shape) - 1)
        share = (self.near + (1 - self.near) * self.depth) * banks
        if self.pattern is not None:
            share = (share + self.pattern) / 2
        return (self.density * share).astype(np.float32)


class HazeDegrader(ParametricDegrader[HazeRanges, HazePlan]):
    """Fog or haze by estimated depth, in banks, or by a photographed pattern and depth."""

    degradation: ClassVar[Degradation] = Degradation.HAZE

    def __init__(
        self,
        ranges: HazeRanges,
        depth: DepthEstimator | None = None,
        patterns: Sequence[Rgb] = (),
        *sources: str,
    ) -> None:
        super().__init__(ranges, *sources)
        self.depth = depth or PriorDepth()
        self.patterns = patterns

    def _plan(self, image: Rgb, draw: Draw) -> HazePlan:
        ranges, rng = self.ranges, draw.rng
        height, width = image.shape[:2]
        near = draw.uniform("near", ranges.near)
        depth = self.depth.depth(image, rng)
        uneven = draw.uniform("uneven", ranges.uneven)
        banks = draw_field(height, width, 2.5, rng)
        density = draw.graded("density", ranges.density)
        level = draw.uniform("airlight", ranges.airlight)
        airlight = airlight_of(level, draw.uniform("tint", ranges.tint))
        pattern = None
        if len(self.patterns) and draw.chance("patterned", ranges.pattern):
            shown = draw_pattern(self.patterns, height, width, draw, upright=True)
            grey = cv2.transform(shown.astype(np.float32), REC_709)
            pattern = grey / np.float32(max(float(np.percentile(grey[::4, ::4], 99)), 1.0))
        soft = SOFTENING[0] * scale_of(image)
        return HazePlan(depth, near, density, banks, uneven, airlight, pattern, soft)

    def _render(self, image: Rgb, plan: HazePlan) -> Rgb:
        linear = to_linear(image)
        thickness = plan.thickness()
        share = np.minimum(thickness / np.float32(SOFTENING[2]), 1) * np.float32(SOFTENING[1])
        softened = blend(linear, gaussian(linear, plan.soft).copy(), share)
        through = cv2.exp(-thickness)
        return to_srgb(mixed(softened, through, (1 - through, plan.airlight)))
