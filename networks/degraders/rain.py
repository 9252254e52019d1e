"""Rain: streaks at several distances, splashes, drops on the lens and the mist behind it all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.degraders import RainRanges
from networks.degraders.base import Draw, ParametricDegrader
from networks.degraders.fields import Field, draw_field
from networks.degraders.haze import airlight_of
from networks.degraders.imaging import (
    REC_709,
    bands,
    mixed,
    to_linear,
    to_srgb,
)
from networks.degraders.lens_drops import LensDrops, draw_lens_drops, seen_through
from networks.degraders.patterns import draw_pattern
from networks.degraders.scene import DepthEstimator, PriorDepth
from networks.degraders.streaks import Layer, draw_near_drops, draw_streaks

HIDDEN = (0.35, 0.65)
"""Opacity of streaks behind objects: at the nearest depth, and how much more at the farthest."""

GUSTS = (0.75, 0.5)
"""Least opacity over the image, and how much more it may be."""

BANKS = (0.7, 0.6)
"""Least thickness of the mist's banks, and how much more it may be."""

VEIL = (0.25, 0.75)
"""Mist of the nearest point, and how much more at the farthest."""


@dataclass(frozen=True)
class RainPlan:
    """A shower."""

    depth: np.ndarray
    """(h, w) float32, 0 near .. 1 far."""
    airlight: np.ndarray
    """(3,) linear light of the mist."""
    veil: float
    """Optical thickness of the mist at the greatest depth."""
    banks: Field
    layers: tuple[Layer, ...]
    """Streaks, from far to near."""
    gusts: Field
    opacity: float
    near: Layer | None
    """Drops in the air before the focus."""
    drops: LensDrops | None

    @property
    def drop(self) -> np.ndarray:
        """(3,) linear light of a drop: of a wide field, so brighter than most of the scene."""
        return np.minimum(self.airlight * np.float32(1.25), np.float32(1.2))

    def passing(
        self,
        rows: slice,
        banks: np.ndarray,
        gusts: np.ndarray,
        streaks: Sequence[np.ndarray],
        near: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Shares of light, (h, w) each, that pass the mist and then the drops, in these rows.

        `streaks` and `near` are the softened layers.
        """
        depth = self.depth[rows]
        through = cv2.exp(
            np.float32(-self.veil)
            * (VEIL[0] + VEIL[1] * depth)
            * (BANKS[0] + BANKS[1] * banks[rows])
        )
        clear: np.ndarray = np.ones(depth.shape, np.float32)
        for layer, drawn in zip(self.layers, streaks, strict=True):
            seen = layer.opacity(drawn[rows])
            if layer.hidden:
                seen = seen * (HIDDEN[0] + HIDDEN[1] * depth)
            clear *= 1 - seen
        clear = 1 - (1 - clear) * (GUSTS[0] + GUSTS[1] * gusts[rows]) * np.float32(self.opacity)
        if self.near is not None and near is not None:
            clear *= 1 - self.near.opacity(near[rows])
        return through, clear


class RainDegrader(ParametricDegrader[RainRanges, RainPlan]):
    """A shower."""

    degradation: ClassVar[Degradation] = Degradation.RAIN
    version: ClassVar[str] = "5"

    def __init__(
        self,
        ranges: RainRanges,
        depth: DepthEstimator | None = None,
        patterns: Sequence[Rgb] = (),
        *sources: str,
    ) -> None:
        super().__init__(ranges, *sources)
        self.depth = depth or PriorDepth()
        self.patterns = patterns

    def _plan(self, image: Rgb, draw: Draw) -> RainPlan:
        ranges, rng = self.ranges, draw.rng
        height, width = image.shape[:2]
        depth = self.depth.depth(image, rng)
        small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA)
        ambient = float(np.clip(to_linear(small).mean() * 1.6 + 0.12, 0.15, 0.8))
        airlight = airlight_of(min(0.95, ambient**0.45), draw.uniform("tint", (-0.02, 0.03)))
        banks = draw_field(height, width, 3, rng, octaves=2)
        veil = draw.graded("veil", ranges.veil)
        opacity = draw.graded("opacity", ranges.opacity)
        layers = draw_streaks(height, width, ranges, draw)
        if len(self.patterns) and draw.chance("patterned", ranges.pattern):
            shown = draw_pattern(self.patterns, height, width, draw, upright=True)
            grey = cv2.transform(shown, REC_709)
            # A photographed shower takes the place of the drawn near streaks.
            layers = (*layers[:-1], Layer(grey, 0.0, hidden=False))
        gusts = draw_field(height, width, 4, rng, octaves=1)
        near, drops = None, None
        if draw.chance("near", ranges.near):
            near = draw_near_drops(height, width, draw.apart())
        if draw.chance("droplets", ranges.droplets):
            count = round(draw.graded("drops", ranges.drops))
            drops = draw_lens_drops(height, width, count, draw.apart())
        return RainPlan(depth, airlight, veil, banks, layers, gusts, opacity, near, drops)

    def _render(self, image: Rgb, plan: RainPlan) -> Rgb:
        height, width = image.shape[:2]
        banks, gusts = plan.banks.on(height, width), plan.gusts.on(height, width)
        streaks = [layer.softened() for layer in plan.layers]
        near = None if plan.near is None else plan.near.softened()
        wet = np.empty(image.shape, np.uint8 if plan.drops is None else np.float32)
        for rows in bands(height):
            through, clear = plan.passing(rows, banks, gusts, streaks, near)
            # The mist's light and the drops', which lie before it.
            lights = ((1 - through) * clear, plan.airlight), (1 - clear, plan.drop)
            part = mixed(to_linear(image[rows]), through * clear, *lights)
            wet[rows] = to_srgb(part) if plan.drops is None else part
        return wet if plan.drops is None else to_srgb(seen_through(wet, plan.drops))
