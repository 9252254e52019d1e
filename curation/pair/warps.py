"""Parts of the content that moved by themselves: a local warp, a face redrawn a little to the side.

A movement of the whole image is fitted by `alignment`; here tiles are searched for each by itself,
by normalised cross-correlation of the structures within a few pixels.
"""

import cv2
import numpy as np

from catalog.images import Rgb
from curation.pair.alignment import reduced, structure

VERSION = "warps/1"
"""Changes with the numbers that this module gives."""

_SIDE = 320
_TILE = 80
"""px at `_SIDE`; tiles overlap by half."""
_REACH = 6
_LEAST = 1.0
"""Displacement from which a tile counts as moved, px of an image whose longer side is 512."""


def find_warp(first: Rgb, second: Rgb) -> float:
    """Of two images of one size, the share (0 .. 1) of the missing correlation that moving the
    worst tile would win back; 0 where no tile lies better elsewhere."""
    one, two = (structure(reduced(image, _SIDE)[0], 1.2, 6.0) for image in (first, second))
    wide = cv2.copyMakeBorder(two, _REACH, _REACH, _REACH, _REACH, cv2.BORDER_REFLECT_101)
    tile = min(_TILE, *one.shape)
    rows, columns = (_starts(side, tile) for side in one.shape)
    return max(
        _gain(
            one[y : y + tile, x : x + tile],
            wide[y : y + tile + 2 * _REACH, x : x + tile + 2 * _REACH],
        )
        for y in rows
        for x in columns
    )


def _starts(side: int, tile: int) -> list[int]:
    return np.unique(np.linspace(0, side - tile, max(2 * side // tile - 1, 1)).astype(int)).tolist()


def _gain(tile: np.ndarray, wide: np.ndarray) -> float:
    found = cv2.matchTemplate(wide, tile, cv2.TM_CCOEFF_NORMED)
    row, column = np.unravel_index(int(found.argmax()), found.shape)
    moved = float(np.hypot(row - _REACH, column - _REACH)) * 512 / _SIDE
    here = float(found[_REACH, _REACH])
    if moved < _LEAST or here > 1 - 1e-3:
        return 0.0
    return max((float(found.max()) - here) / (1 - here), 0.0)
