"""How well two images that lie on each other agree.

Agreement of the whole is not enough: two plain photos reach a correlation of 0.9 somewhere when one
is moved and stretched. So their fine structure must agree as well, in most places that have some.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

BLOCKS = 6
"""Blocks along each side into which the common part is divided."""

_BAND = (0.8, 2.5)  # sigmas, pixels, between which structure is fine
_RIM = 7  # pixels across, of the rim of the common part, where fine structure is the rim's own
_NOISE = 1.0  # grey levels of fine structure that encoding alone makes
_CORNER = 0.03  # part of the image's contrast within which a corner is of one level
_MOST_CORNER = 0.3  # share of an image beyond which it is no corner but the scene


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 1e-3 * a.size else 0.0


def _by_block(inside: np.ndarray, least: float) -> Iterator[tuple[Any, np.ndarray]]:
    """Of each block of which a share of more than `least` is inside, its place and what is."""
    for rows in np.array_split(np.arange(inside.shape[0]), BLOCKS):
        for columns in np.array_split(np.arange(inside.shape[1]), BLOCKS):
            box = np.ix_(rows, columns)
            if inside[box].mean() > least:
                yield box, inside[box]


def agreement(a: np.ndarray, b: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    """Correlation of the whole common part, and median over its blocks weighted by contrast."""
    import cv2

    a, b = cv2.GaussianBlur(a, (0, 0), 1.0), cv2.GaussianBlur(b, (0, 0), 1.0)
    if inside.sum() < 64:
        return 0.0, 0.0
    whole = _correlation(a[inside], b[inside])
    values, weights = [], []
    for box, here in _by_block(inside, 0.8):
        one, two = a[box][here], b[box][here]
        values.append(_correlation(one, two))
        # The contrast of both: noise gives one of them contrast where there is nothing.
        weights.append(min(float(one.std()), float(two.std())))
    if not values or sum(weights) <= 0:
        return whole, 0.0
    order = np.argsort(values)
    total = np.cumsum(np.asarray(weights)[order])
    return whole, values[order[int(np.searchsorted(total, total[-1] / 2))]]


def fine_agreement(a: np.ndarray, b: np.ndarray, inside: np.ndarray) -> tuple[float, int]:
    """Median over the blocks with fine structure of its correlation, and how many there are.

    Blocks count alike, since the strongest are often a text's that both have.
    """
    import cv2

    inside = cv2.erode(inside.astype(np.uint8), np.ones((_RIM, _RIM), np.uint8), borderValue=1) > 0
    low, high = _BAND
    a, b = (cv2.GaussianBlur(x, (0, 0), low) - cv2.GaussianBlur(x, (0, 0), high) for x in (a, b))
    values = []
    for box, here in _by_block(inside, 0.5):
        one, two = a[box][here], b[box][here]
        one, two = one - one.mean(), two - two.mean()
        if max(one.std(), two.std()) > 2 * _NOISE:
            common = float((one * two).mean())
            values.append(common / (float(one.std()) * float(two.std()) + _NOISE**2))
    return (float(np.median(values)), len(values)) if values else (0.0, 0)


def scene(image: np.ndarray) -> np.ndarray:
    """(h, w) float32, 0 in what lies at a corner and is of its level, 1 elsewhere.

    That is what turning an image leaves, and all images that were turned have it.
    """
    import cv2

    height, width = image.shape
    low, high = np.percentile(image[::3, ::3], (2, 98))
    tolerance = float(np.clip(_CORNER * (high - low), 1.0, 4.0))
    mask = np.zeros((height + 2, width + 2), np.uint8)
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (1 << 8)
    for x, y in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)):
        if not mask[y + 1, x + 1]:
            cv2.floodFill(image, mask, (x, y), 0, tolerance, tolerance, flags)
    corner = mask[1:-1, 1:-1] > 0
    return np.where(corner & (corner.mean() <= _MOST_CORNER), 0.0, 1.0).astype(np.float32)
