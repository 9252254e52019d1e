"""Large images in overlapping tiles, for every restorer: cut, restore, blend."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Offsets of tiles of side `tile` that cover `length`, neighbours sharing >= `overlap`."""
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def ramp(size: int, overlap: int) -> Tensor:
    """(size,) weights of a tile, rising over `overlap` pixels from both ends; never 0."""
    distance = torch.arange(size).float() + 1
    weight = torch.minimum(distance, distance.flip(0)) / (overlap + 1)
    return weight.clamp(max=1.0)


def in_tiles(
    pixels: Tensor, side: int, overlap: int, run: Callable[[Tensor], Tensor], batch: int = 1
) -> Tensor:
    """`run` over (3, h, w) pixels in tiles of at most side x side, blended linearly: (3, h, w).

    `run` maps (n, 3, a, b), n at most `batch`, to the same shape. A part of the image that several
    tiles cover is their mean, weighted by the distance to the tiles' borders, so a restorer that
    does nothing gives the image back.
    """
    height, width = pixels.shape[-2:]
    places = [
        (top, left)
        for top in starts(height, side, overlap)
        for left in starts(width, side, overlap)
    ]
    total, weights = torch.zeros_like(pixels), torch.zeros_like(pixels[:1])
    for first in range(0, len(places), batch):
        part = places[first : first + batch]
        tiles = [pixels[:, top : top + side, left : left + side] for top, left in part]
        for (top, left), one in zip(part, run(torch.stack(tiles)), strict=True):
            high, wide = one.shape[-2:]
            weight = ramp(high, overlap)[:, None] * ramp(wide, overlap)
            total[:, top : top + high, left : left + wide] += one * weight
            weights[:, top : top + high, left : left + wide] += weight
    return total / weights


def levelled(restored: Tensor, whole: Tensor, side: int) -> Tensor:
    """(3, h, w) with the light and colour of `whole`, the same image restored at a small size.

    Only what is coarser than half a tile of `side` px is taken from it: how bright a tile comes out
    against the others, which none of them can know.
    """
    height, width = restored.shape[-2:]
    cells = [max(1, round(2 * n / side)) for n in (height, width)]
    coarse = functional.interpolate(whole[None], cells, mode="area")
    difference = coarse - functional.interpolate(restored[None], cells, mode="area")
    size = [height, width]
    return restored + functional.interpolate(difference, size, mode="bilinear")[0]
