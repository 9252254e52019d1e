"""Low light: fewer photons, in linear light, then the camera's processing."""

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.degraders import LowLightRanges
from networks.degraders.base import Draw, ParametricDegrader
from networks.degraders.fields import Field, draw_field
from networks.degraders.imaging import (
    REC_709,
    gaussian,
    jpeg,
    normals,
    repeated,
    to_linear,
    to_srgb,
)

GRAIN = (0.6, 0.9, 1.0)
"""White noise, blotched noise, and the sigma (px) of the blotches: demosaicing and the camera's own
denoiser leave no white noise.
"""


@dataclass(frozen=True)
class LowLightPlan:
    """How much light is left, and what the camera makes of it."""

    loss: float
    """Factor of linear light."""
    uneven: float
    light: Field
    colours: np.ndarray
    """(3, 3) float32: white balance, then saturation."""
    photons: float
    read: float
    gamma: float
    quality: int
    seed: int


class LowLightDegrader(ParametricDegrader[LowLightRanges, LowLightPlan]):
    """Underexposure with shot and read noise, wrong white balance and uneven light."""

    degradation: ClassVar[Degradation] = Degradation.LOW_LIGHT

    def _plan(self, image: Rgb, draw: Draw) -> LowLightPlan:
        ranges = self.ranges
        height, width = image.shape[:2]
        loss = 2.0 ** -draw.graded("stops", ranges.stops)
        uneven = draw.uniform("uneven", ranges.uneven)
        light = draw_field(height, width, 1.5, draw.rng, octaves=2)
        balance = draw.uniform("white_balance", ranges.white_balance)
        kept = draw.uniform("saturation", ranges.saturation)
        mixing = kept * np.eye(3, dtype=np.float32) + (1 - kept) * REC_709
        return LowLightPlan(
            loss,
            uneven,
            light,
            (mixing * np.array([1 + balance, 1.0, 1 - balance])).astype(np.float32),
            draw.graded("photons", ranges.photons),
            draw.graded("read", ranges.read),
            draw.uniform("gamma", ranges.gamma),
            draw.integer("jpeg", (82, 96)),
            draw.seed(),
        )

    def _render(self, image: Rgb, plan: LowLightPlan) -> Rgb:
        light = plan.loss * (1 - plan.uneven * plan.light.on(*image.shape[:2]))
        dark = cv2.transform(to_linear(image), plan.colours)
        cv2.multiply(dark, repeated(light), dst=dark)
        np.maximum(dark, 0, out=dark)
        sigma = cv2.sqrt(dark / np.float32(plan.photons) + np.float32(plan.read**2))
        white, blotched, size = GRAIN
        grain = normals(image.shape, plan.seed)
        grain = cv2.addWeighted(grain, white, gaussian(grain, size), blotched, 0)
        dark = dark + sigma * grain
        table = np.rint(255 * (np.arange(256) / 255.0) ** plan.gamma).astype(np.uint8)
        return jpeg(cv2.LUT(to_srgb(dark), table), plan.quality)
