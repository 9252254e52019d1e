"""The two sizes at which an image is measured, so that its severity does not hang on its size."""

from dataclasses import dataclass

import cv2
import numpy as np

from catalog.images import Rgb, middle

SMALLEST_SIDE = 32
"""Pixels; below this there is nothing to measure."""

FINE_SIDE = 1600
"""Larger images are first reduced to this longer side: what only shows beyond it is not seen."""
CROP = 768
COARSE_SIDE = 512
LONGEST_ASPECT = 32
"""Longer side over shorter: of longer images the middle is looked at, or the coarse view would be
narrower than the blocks that are measured."""


@dataclass(frozen=True)
class Views:
    """One image at two sizes, float32 in 0 .. 1."""

    fine: np.ndarray
    """(<= CROP, <= CROP, 3): the centre at full size, where grain, grid and sharpness live."""

    coarse: np.ndarray
    """(h, w, 3): the whole image, longer side at most `COARSE_SIDE`: light, veils, patterns."""

    fine_luma: np.ndarray
    coarse_luma: np.ndarray

    scale: float
    """Longer side of the whole image at the fine size over that of the coarse one, >= 1."""


def look(image: Rgb) -> Views:
    """The views of an (h, w, 3) uint8 image of at least `SMALLEST_SIDE` pixels a side."""
    whole = _shrink(np.ascontiguousarray(middle(image, LONGEST_ASPECT)), FINE_SIDE)
    height, width = whole.shape[:2]
    down, right = max((height - CROP) // 2, 0), max((width - CROP) // 2, 0)
    # A crop on the 8 x 8 grid keeps the phase of JPEG blocks.
    down, right = down // 8 * 8, right // 8 * 8
    fine = _float(whole[down : down + CROP, right : right + CROP])
    small = _shrink(whole, COARSE_SIDE)
    coarse = _float(small)
    return Views(fine, coarse, luma(fine), luma(coarse), max(height, width) / max(small.shape[:2]))


def coarse_of(image: Rgb) -> Rgb:
    """(h, w, 3) uint8: what `look` makes the coarse view from."""
    whole = _shrink(np.ascontiguousarray(middle(image, LONGEST_ASPECT)), FINE_SIDE)
    return _shrink(whole, COARSE_SIDE)


def luma(image: np.ndarray) -> np.ndarray:
    """(h, w) BT.601 luma of (h, w, 3) float RGB."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def largest(image: np.ndarray) -> np.ndarray:
    """(h, w) largest channel of (h, w, 3); NumPy's reduction over a short axis is slow."""
    red, green, blue = cv2.split(image)
    return cv2.max(cv2.max(red, green), blue)


def smallest(image: np.ndarray) -> np.ndarray:
    """(h, w) smallest channel of (h, w, 3)."""
    red, green, blue = cv2.split(image)
    return cv2.min(cv2.min(red, green), blue)


def _float(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) / np.float32(255)


def _shrink(image: np.ndarray, side: int) -> np.ndarray:
    height, width = image.shape[:2]
    longer = max(height, width)
    if longer <= side:
        return image
    size = (max(round(width * side / longer), 1), max(round(height * side / longer), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
