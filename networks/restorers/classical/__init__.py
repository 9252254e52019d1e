"""Restoration without weights, by degradation."""

from collections.abc import Callable, Sequence

import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from networks.interfaces import Identity
from networks.restorers.classical import deblock, deblur, dehaze, denoise, enlighten

SMALLEST_SIDE = 16
"""Images with a shorter side come back unchanged: their statistics say nothing."""

METHODS: dict[Degradation, Callable[[np.ndarray], np.ndarray]] = {
    Degradation.BLUR: deblur.restore,
    Degradation.COMPRESSION: deblock.restore,
    Degradation.LOW_LIGHT: enlighten.restore,
    Degradation.NOISE: denoise.restore,
    Degradation.HAZE: dehaze.restore,
}
"""(height, width, 3) uint8 to the same; what is not here has nothing classical worth its name."""


class Classical:
    """A known method for each of five degradations; nothing for moire, flare, reflection, rain."""

    identity = Identity("classical", "v1")

    def supports(self, degradation: Degradation) -> bool:
        """Whether there is a method."""
        return degradation in METHODS

    def restore(self, images: Sequence[Rgb], degradation: Degradation) -> list[Rgb]:
        """Restored images; copies of the input for a degradation without a method."""
        method = METHODS.get(degradation)
        return [
            image.copy()
            if method is None or min(image.shape[:2]) < SMALLEST_SIDE
            else method(np.ascontiguousarray(image))
            for image in images
        ]
