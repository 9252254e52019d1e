"""Movement of the content between the two sides of a pair, to a fraction of a pixel.

Both sides are reduced to structure (local mean and contrast taken away), which haze, darkness and
casts leave as it is. An affine transform is then fitted by maximising the enhanced correlation
coefficient (Evangelidis and Psarakis, 2008) from coarse to fine.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from catalog.images import Rgb

VERSION = "movement/3"
"""Changes with the numbers that this module gives."""

_SIDE = 640
"""Longer side at which movement is measured."""

_LEVELS = (4, 2, 1)
_MIN_SIDE = 48


@dataclass(frozen=True)
class Movement:
    """How the content of the second image lies to that of the first."""

    rms: float
    """Root of the mean squared displacement over the image, px of the original."""
    relative: float
    """The same for an image whose longer side is 512 px."""
    before: float
    """Correlation of the structures as they lie, -1 .. 1."""
    after: float
    """Correlation once the movement is undone."""

    def scores(self) -> dict[str, float]:
        """For the table."""
        return {
            "move-rms": self.rms,
            "move-relative": self.relative,
            "move-before": self.before,
            "move-after": self.after,
        }


def reduced(image: Rgb, side: int = _SIDE) -> tuple[np.ndarray, float]:
    """(h, w) float32 grey with the longer side at most `side`, and its scale."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    factor = min(1.0, side / max(grey.shape))
    if factor < 1:
        size = (round(grey.shape[1] * factor), round(grey.shape[0] * factor))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return grey.astype(np.float32), factor


def structure(grey: np.ndarray, sigma: float, window: float) -> np.ndarray:
    """Detail between the scales `sigma` and `window` (px), in units of its local contrast."""
    fine = cv2.GaussianBlur(grey, (0, 0), sigma)
    detail = fine - cv2.GaussianBlur(fine, (0, 0), window)
    spread = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), window))
    return detail / (spread + 1.0)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's, 0 for a flat image."""
    one, two = first - first.mean(), second - second.mean()
    norm = float(np.sqrt((one * one).mean() * (two * two).mean()))
    return float((one * two).mean()) / norm if norm > 1e-6 else 0.0


def find_movement(first: Rgb, second: Rgb) -> Movement:
    """Movement between two images of one size."""
    one, factor = reduced(first)
    two, _ = reduced(second)
    height, width = one.shape
    matrix = np.eye(2, 3, dtype=np.float32)
    found = 0.0
    for level in _LEVELS:
        size = (round(width / level), round(height / level))
        if min(size) < _MIN_SIDE and level > 1:
            continue
        small = [cv2.resize(grey, size, interpolation=cv2.INTER_AREA) for grey in (one, two)]
        patterns = [structure(grey, 1.2, 8.0) for grey in small]
        matrix[:, 2] /= level
        fitted = _fit(patterns[0], patterns[1], matrix)
        if fitted is not None:
            found, matrix = fitted
        matrix[:, 2] *= level
    before = correlation(structure(one, 1.2, 8.0), structure(two, 1.2, 8.0))
    rms = _rms(matrix, height, width)
    return Movement(rms / factor, rms * 512 / max(height, width), before, found)


def _fit(
    first: np.ndarray, second: np.ndarray, start: np.ndarray
) -> tuple[float, np.ndarray] | None:
    """(correlation, 2 x 3 matrix) of the affine fit, None where it does not converge."""
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-4)
    try:
        value, matrix = cv2.findTransformECC(
            first, second, start.copy(), cv2.MOTION_AFFINE, criteria, np.empty(0), 1
        )
    except cv2.error:  # the iteration left the image: nothing in common
        return None
    return float(value), np.asarray(matrix, np.float32)


def _rms(matrix: np.ndarray, height: int, width: int) -> float:
    y, x = np.meshgrid(np.linspace(0, height, 9), np.linspace(0, width, 9), indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    moved = matrix @ points - points[:2]
    return float(np.sqrt((moved**2).sum(axis=0).mean()))
