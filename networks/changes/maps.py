"""What the network sees of a pair: how well both sides agree, window by window.

Degradations change brightness, contrast, sharpness and noise, so pixels are not compared. Both
sides are taken apart into bands of detail; in windows over each band the correlation and the energy
of either side say how far they agree and how much there is to agree on. The coarse light and colour
of both sides, and what is left of them after a wide local linear fit (He et al. 2010, guided image
filtering), show patches that no veil, darkening or cast explains.
"""

import cv2
import numpy as np

from catalog.images import Rgb

SIDE = 256
"""Longer side (px) at which a pair is compared."""
STRIDE = 8
"""Pixels of that size to a cell of the maps."""
SMALLEST_SIDE = 32

_WINDOWS = (4.0, 3.0, 2.5, 2.0)
"""Sigma of the window at each level of the pyramid, px of the level."""
_COLOUR_LEVELS = (1, 2)
_FLOOR = 1.0
"""Variance (8-bit levels squared) below which a band holds nothing."""
_WIDE = 5.0
"""Sigma of the linear fit, cells."""

CHANNELS = 3 * (len(_WINDOWS) + len(_COLOUR_LEVELS)) + 9


def change_maps(degraded: Rgb, target: Rgb) -> np.ndarray:
    """(CHANNELS, h, w) float32 over cells of two (height, width, 3) uint8 images of one size."""
    one, two = _lab(degraded), _lab(target)
    size = (max(one.shape[1] // STRIDE, 1), max(one.shape[0] // STRIDE, 1))
    maps: list[np.ndarray] = []
    first, second = one, two
    for level, window in enumerate(_WINDOWS):
        bands = [image - _smooth(image, 2.0) for image in (first, second)]
        maps += _agreement(bands[0][..., :1], bands[1][..., :1], window, size)
        if level in _COLOUR_LEVELS:
            maps += _agreement(bands[0][..., 1:], bands[1][..., 1:], window, size)
        if level + 1 < len(_WINDOWS):
            half = (max(first.shape[1] // 2, 4), max(first.shape[0] // 2, 4))
            first, second = (
                cv2.resize(i, half, interpolation=cv2.INTER_AREA) for i in (first, second)
            )
    coarse = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (one, two)]
    unexplained = _unexplained(*coarse)
    scale = np.array([40, 15, 15], np.float32)
    shift = np.array([50, 0, 0], np.float32)
    for image in ((coarse[0] - shift) / scale, (coarse[1] - shift) / scale, unexplained):
        maps += [image[..., channel] for channel in range(3)]
    return np.stack(maps).astype(np.float32)


def _lab(image: Rgb) -> np.ndarray:
    """(h, w, 3) CIELAB, the longer side `SIDE`."""
    factor = SIDE / max(image.shape[:2])
    size = [max(round(side * factor), SMALLEST_SIDE) for side in image.shape[1::-1]]
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(image), size, interpolation=how)
    return cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)


def _smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)


def _agreement(
    first: np.ndarray, second: np.ndarray, window: float, size: tuple[int, int]
) -> list[np.ndarray]:
    """Correlation (-1 .. 1) and log energies of a band in windows, over cells."""
    products = np.stack(
        [(first * second).sum(-1), (first * first).sum(-1), (second * second).sum(-1)], axis=-1
    )
    joint, one, two = cv2.split(cv2.resize(_smooth(products, window), size))
    match = joint / np.sqrt((one + _FLOOR) * (two + _FLOOR))
    return [match, np.log(one + _FLOOR) / 2 - 1, np.log(two + _FLOOR) / 2 - 1]


def _unexplained(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(h, w, 3) what a wide linear fit of the first side to the second leaves, in deviations."""
    mean_one, mean_two = _smooth(first, _WIDE), _smooth(second, _WIDE)
    joint = _smooth(first * second, _WIDE) - mean_one * mean_two
    spread = np.maximum(_smooth(second * second, _WIDE) - mean_two**2, 0)
    gain = joint / (spread + 4)
    left = first - mean_one - gain * (second - mean_two)
    return left / np.sqrt(_smooth(left * left, _WIDE) + 1)
