"""Content that one side of a pair shows and the other does not.

In windows over the image the detail of both sides is correlated, whatever their local brightness
and contrast. How well they agree depends on the degradation and on the part of the image, so a
window is held against a wide surrounding: where it agrees less, by the share of its own detail in
that around it, something was added to the target or removed from the degraded image. A flare or a
reflection is content of its own, but what lies under it still correlates as around it; a pasted
object does not. The limits are by degradation (settings `Pair.max_added`, `max_removed`,
`max_mismatch`), calibrated by benchmarks/pair_faults.py.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from catalog.images import Rgb
from curation.pair.alignment import reduced

VERSION = "content/2"
"""Changes with the numbers that this module gives."""

_SIDE = 320
_AROUND = 45.0
"""Sigma of "around", px at `_SIDE`."""
_TOP = 99.5
"""Percentile taken over the image: one window of an object, not one pixel."""
_CONTRAST = 5.0
"""Standard deviation in 8-bit levels from which a window of the target has content."""


@dataclass(frozen=True)
class Content:
    """Each is larger where the content differs, 0 .. 4."""

    added: float
    """Loss of correlation where the target has detail, weighted by that detail."""
    removed: float
    """The same where the degraded image has detail."""
    mismatch: float
    """By how much the worst window with content correlates less than the median window, 0 .. 2."""

    def scores(self) -> dict[str, float]:
        """For the table."""
        return {
            "content-added": self.added,
            "content-removed": self.removed,
            "content-mismatch": self.mismatch,
        }


def compare_content(degraded: Rgb, target: Rgb) -> Content:
    """Compare two aligned images of one size."""
    first, _ = reduced(degraded, _SIDE)
    second, _ = reduced(target, _SIDE)
    joint, one, two = _moments(first, second, 1.5, 8.0, 6.0)
    loss = np.maximum(_match(*map(_around, (joint, one, two))) - _match(joint, one, two), 0)
    added, removed = (_weighted(loss, detail) for detail in (two, one))
    joint, one, two = _moments(first, second, 1.5, 8.0, 8.0)
    match = joint / np.sqrt((one + 1) * (two + 1))
    there = match[two > _CONTRAST**2]
    mismatch = float(np.median(there) - np.percentile(there, 1)) if there.size > 100 else 0.0
    return Content(added, removed, mismatch)


def _smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)


def _moments(
    first: np.ndarray, second: np.ndarray, sigma: float, coarse: float, window: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariance and variances, in windows, of the detail between two scales."""
    one, two = _smooth(first, sigma), _smooth(second, sigma)
    one, two = one - _smooth(one, coarse), two - _smooth(two, coarse)
    return _smooth(one * two, window), _smooth(one * one, window), _smooth(two * two, window)


def _around(values: np.ndarray) -> np.ndarray:
    return _smooth(values, _AROUND)


def _match(joint: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    # 4 is the variance of two grey levels, below which there is nothing to agree on.
    return joint / np.sqrt((one + 4) * (two + 4))


def _weighted(loss: np.ndarray, detail: np.ndarray) -> float:
    weight = np.sqrt(detail) / (np.sqrt(_around(detail)) + 1)
    return float(np.percentile(loss * np.clip(weight, 0, 2), _TOP))
