"""Content that one side of a pair shows and the other does not.

In windows over the image the detail of one side is predicted from the other by a local linear
model; what is left over, against the usual amount around it, says that something was added or
removed there. Heavy degradations leave much unexplained too, so the limits are by degradation
(settings `Pair.max_added`, `max_removed`, `max_mismatch`), calibrated by benchmarks/pair_faults.py.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from catalog.images import Rgb
from curation.pair.alignment import reduced

VERSION = "content/1"
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
    """Each is larger where the content differs; there is no fixed upper end."""

    added: float
    """In the target, not explained by the degraded image."""
    removed: float
    """In the degraded image, not explained by the target."""
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
    joint, one, two = _moments(first, second, 3.0, 14.0)
    added = _relative(two - joint * joint / (one + 1e-3))
    removed = _relative(one - joint * joint / (two + 1e-3))
    joint, one, two = _moments(first, second, 1.5, 8.0)
    match = joint / np.sqrt((one + 1) * (two + 1))
    there = match[two > _CONTRAST**2]
    mismatch = float(np.median(there) - np.percentile(there, 1)) if there.size > 100 else 0.0
    return Content(added, removed, mismatch)


def _smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)


def _moments(
    first: np.ndarray, second: np.ndarray, sigma: float, window: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Local covariance and variances of the detail between two scales."""
    one, two = _smooth(first, sigma), _smooth(second, sigma)
    one, two = one - _smooth(one, window), two - _smooth(two, window)
    return _smooth(one * two, window), _smooth(one * one, window), _smooth(two * two, window)


def _relative(energy: np.ndarray) -> float:
    return float(np.percentile(energy / (_smooth(energy, _AROUND) + 4.0), _TOP))
