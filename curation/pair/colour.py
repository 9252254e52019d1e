"""Drift of colour and exposure over the whole image.

A teacher that warms, tints or brightens everything makes a pair from which a model learns just
that. Only what the image has everywhere counts: the median change of coarse blocks, in CIELAB, so
that a restored flare or a removed reflection is no drift. Haze and darkness change both for good
reasons; the limits are by degradation.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from catalog.images import Rgb

VERSION = "colour/1"
"""Changes with the numbers that this module gives."""

_BLOCKS = 24
"""Blocks along the longer side."""


@dataclass(frozen=True)
class Drift:
    """Medians over blocks of target less degraded, in units of CIELAB."""

    chroma: float
    """Length of the change of (a, b)."""
    light: float
    """Change of L, brighter is positive."""

    def scores(self) -> dict[str, float]:
        """For the table."""
        return {"drift-chroma": self.chroma, "drift-light": self.light}


def find_drift(degraded: Rgb, target: Rgb) -> Drift:
    """Compare two images of one size."""
    change = _blocks(target) - _blocks(degraded)
    light, a, b = (float(np.median(change[..., channel])) for channel in range(3))
    return Drift(float(np.hypot(a, b)), light)


def _blocks(image: Rgb) -> np.ndarray:
    height, width = image.shape[:2]
    factor = _BLOCKS / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
