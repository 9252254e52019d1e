"""Sizes at which an editing model works."""

import math
from collections.abc import Sequence


def working_size(width: int, height: int, side: int, multiple: int) -> tuple[int, int]:
    """(width, height) of about side x side pixels in the image's own ratio, as released.

    The longer side is rounded up, the shorter follows, both are cut to a multiple.
    """
    ratio = width / height
    if width > height:
        wide = math.ceil(math.sqrt(side * side * ratio))
        high = math.ceil(wide / ratio)
    else:
        high = math.ceil(math.sqrt(side * side / ratio))
        wide = math.ceil(high * ratio)
    return max(multiple, wide // multiple * multiple), max(multiple, high // multiple * multiple)


def buckets(side: int, multiple: int, longest: float = 2.0) -> list[tuple[int, int]]:
    """(height, width) of about side x side pixels, of aspect ratios from 1 : `longest` to its
    inverse, each once.
    """
    found = set()
    for step in range(side // multiple + 1):
        width = side + step * multiple
        height = round(side * side / width / multiple) * multiple
        if height and width / height <= longest + 1e-9:
            found |= {(height, width), (width, height)}
    return sorted(found)


def nearest_bucket(height: int, width: int, options: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The bucket whose aspect ratio is nearest, as a ratio; of equal ones the first."""
    own = math.log(width / height)
    return min(options, key=lambda size: (abs(math.log(size[1] / size[0]) - own), size))
