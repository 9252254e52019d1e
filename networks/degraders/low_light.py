"""Low light: fewer photons, in linear light, then the camera's processing."""

from typing import ClassVar

import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.degraders import LowLightRanges
from networks.degraders.base import Draw, ParametricDegrader
from networks.degraders.imaging import (
    gaussian,
    jpeg,
    luminance,
    normals,
    smooth_noise,
    to_linear,
    to_srgb,
)


class LowLightDegrader(ParametricDegrader[LowLightRanges]):
    """Underexposure with shot and read noise, wrong white balance and uneven light."""

    degradation: ClassVar[Degradation] = Degradation.LOW_LIGHT

    def _apply(self, image: Rgb, draw: Draw) -> Rgb:
        ranges, rng = self.ranges, draw.rng
        height, width = image.shape[:2]
        linear = to_linear(image)
        loss = 2.0 ** -draw.graded("stops", ranges.stops)
        uneven = draw.uniform("uneven", ranges.uneven)
        light = loss * (1 - uneven * smooth_noise(height, width, 1.5, rng, octaves=2))
        balance = draw.uniform("white_balance", ranges.white_balance)
        gains = np.array([1 + balance, 1.0, 1 - balance], np.float32)
        dark = linear * light[:, :, None] * gains
        grey = luminance(dark)[:, :, None]
        dark = grey + (dark - grey) * draw.uniform("saturation", ranges.saturation)
        photons = draw.graded("photons", ranges.photons)
        read = draw.graded("read", ranges.read)
        sigma = np.sqrt(np.maximum(dark, 0) / photons + read**2)
        grain = normals(image.shape, rng)
        # Demosaicing and the camera's own denoiser leave blotches, not white noise.
        grain = 0.6 * grain + 0.9 * gaussian(grain, 1.0)
        dark = np.maximum(dark + sigma * grain, 0)
        gamma = draw.uniform("gamma", ranges.gamma)
        encoded = to_srgb(dark)
        table = np.rint(255 * (np.arange(256) / 255.0) ** gamma).astype(np.uint8)
        return jpeg(table[encoded], draw.integer("jpeg", (82, 96)))
