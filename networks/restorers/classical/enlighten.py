"""Low-light enhancement by an illumination map."""

import numpy as np

from networks.restorers.classical import denoise
from networks.restorers.classical.filters import guided_filter, luma, to_bytes, to_float

TARGET = 0.45
"""Mean illumination aimed at, near the middle of the sRGB range."""


def restore(image: np.ndarray) -> np.ndarray:
    """LIME's model (Guo, Li, Ling 2017): the image over its illumination to a power.

    The illumination is the maximum over channels, smoothed by a guided filter; its exponent is
    the one that brings the mean to `TARGET`, never below 0.3. The noise that this amplifies is
    then removed.
    """
    dark = to_float(image)
    brightest = dark.max(axis=2)
    radius = max(2, min(dark.shape[:2]) // 30)
    illumination = np.clip(guided_filter(luma(dark), brightest, radius, 1e-3), 0.02, 1)
    exponent = _exponent(illumination)
    if exponent >= 1:
        return image.copy()
    bright = dark * (illumination ** np.float32(exponent - 1))[:, :, None]
    return denoise.restore(to_bytes(bright), strength=0.8)


def _exponent(illumination: np.ndarray) -> float:
    """The power in 0.3 .. 1 that brings the mean illumination to `TARGET`, by bisection."""
    low, high = 0.3, 1.0
    sample = illumination[::4, ::4]
    for _ in range(12):
        middle = (low + high) / 2
        if float((sample**middle).mean()) > TARGET:
            low = middle
        else:
            high = middle
    return high
