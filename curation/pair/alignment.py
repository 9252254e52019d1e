"""Movement of the content between the two sides of a pair, to a fraction of a pixel."""

from dataclasses import dataclass

import cv2
import numpy as np

from catalog.images import Rgb

VERSION = "movement/1"
"""Changes with the numbers that this module gives."""

_SIDE = 768
"""Longer side at which movement is measured."""


@dataclass(frozen=True)
class Movement:
    """How the content of the second image lies to that of the first."""

    greatest: float
    """Greatest movement found, px of the original."""
    correlation: float
    """Of the structures, -1 .. 1."""

    def scores(self) -> dict[str, float]:
        """For the table."""
        return {"move-greatest": self.greatest, "move-correlation": self.correlation}


def structure(image: Rgb, sigma: float = 1.2) -> np.ndarray:
    """(h, w) float32: grey with local mean and contrast taken away.

    Haze, darkness and colour casts change brightness and contrast, not where things are.
    """
    values = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.GaussianBlur(values, (0, 0), sigma)
    mean = cv2.GaussianBlur(grey, (0, 0), 12)
    spread = np.sqrt(cv2.GaussianBlur((grey - mean) ** 2, (0, 0), 12))
    return (grey - mean) / (spread + 3.0)


def find_movement(first: Rgb, second: Rgb) -> Movement:
    """Movement between two images of one size."""
    from skimage.registration import phase_cross_correlation

    factor = min(1.0, _SIDE / max(first.shape[:2]))
    if factor < 1:
        size = (round(first.shape[1] * factor), round(first.shape[0] * factor))
        first = cv2.resize(first, size, interpolation=cv2.INTER_AREA)
        second = cv2.resize(second, size, interpolation=cv2.INTER_AREA)
    one, two = structure(first), structure(second)
    correlation = float(np.corrcoef(one.ravel(), two.ravel())[0, 1])
    window = cv2.createHanningWindow((one.shape[1], one.shape[0]), cv2.CV_32F)
    shift = phase_cross_correlation(
        one * window, two * window, upsample_factor=10, normalization=None
    )[0]
    return Movement(float(np.hypot(*shift)) / factor, correlation)
