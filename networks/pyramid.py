"""The levels that the package's own small networks of images share, and what they look at."""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import nn

STRIDE = 4
"""Pixels of the image to one cell of the finest level."""
MULTIPLE = 32
"""Sides of the inputs are multiples of this."""
WIDTHS = (48, 64, 128, 192)
"""Channels of the levels, from the finest on."""
DEPTHS = (1, 1, 1, 2, 1, 1)
"""Convolutions after the first of each level, four down and two up."""


LUMA = (0.299, 0.587, 0.114)
"""Of BT.601, as cv2.COLOR_RGB2GRAY."""


class Pyramid(nn.Module):
    """Four levels down from (n, 4, h, w) `planes`, and two up again.

    h and w are multiples of 32. Its first layer sees blocks of 4 x 4 pixels, so that no convolution
    runs at the full resolution; its deepest level has 32 pixels to a cell. `widths` are the
    channels of the levels down; `depths` say how many of `block` follow the first layer of each
    level, down and up.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int] = WIDTHS,
        depths: tuple[int, int, int, int, int, int] = DEPTHS,
        block: Callable[[int], nn.Module] = lambda width: conv(width, width),
    ) -> None:
        super().__init__()
        a, b, c, d = widths

        def level(first: nn.Module, width: int, depth: int) -> list[nn.Module]:
            return [first, *(block(width) for _ in range(depth))]

        self.quarter = nn.Sequential(
            nn.PixelUnshuffle(STRIDE), *level(conv(4 * STRIDE**2, a), a, depths[0])
        )
        self.eighth = nn.Sequential(*level(conv(a, b, stride=2), b, depths[1]))
        self.sixteenth = nn.Sequential(*level(conv(b, c, stride=2), c, depths[2]))
        self.deep = nn.Sequential(*level(conv(c, d, stride=2), d, depths[3]))
        self.up_sixteenth = nn.Sequential(*level(conv(c + d, c, kernel=1), c, depths[4]))
        self.up_eighth = nn.Sequential(*level(conv(b + c, b, kernel=1), b, depths[5]))

    def levels(self, planes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Cells at 1/4, 1/8, 1/16 and 1/32 of the size, and on the way up at 1/16 and 1/8."""
        quarter = self.quarter(planes)
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        deep = self.deep(sixteenth)
        up_sixteenth = self.up_sixteenth(torch.cat([sixteenth, twice(deep)], dim=1))
        up_eighth = self.up_eighth(torch.cat([eighth, twice(up_sixteenth)], dim=1))
        return quarter, eighth, sixteenth, deep, up_sixteenth, up_eighth


def planes(image: np.ndarray) -> np.ndarray:
    """(4, h, w) float32 of an (h, w, 3) float32 image in 0 .. 1: colour, luma against its place.

    The fourth is the high-pass over its local deviation: what lies faintly over a calm part is as
    clear there as what lies strongly over a busy one.
    """
    values = image - np.float32(0.5)
    luma = cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)
    high = luma - cv2.blur(luma, (17, 17))
    deviation = np.sqrt(np.maximum(cv2.blur(high * high, (33, 33)), 0)) + np.float32(0.02)
    return np.concatenate([values.transpose(2, 0, 1), np.clip(high / deviation, -4, 4)[None] / 2])


def planes_of(images: torch.Tensor) -> torch.Tensor:
    """`planes` of (n, h, w, 3) uint8 images on their device: (n, 4, h, w) float32.

    h and w are above 16.
    """
    values = images.permute(0, 3, 1, 2).float() / 255 - 0.5
    weights = values.new_tensor(LUMA)[:, None, None]
    luma = (values * weights).sum(dim=1, keepdim=True)
    high = luma - _box(luma, 17)
    deviation = _box(high * high, 33).clamp(min=0).sqrt() + 0.02
    return torch.cat([values, (high / deviation).clamp(-4, 4) / 2], dim=1)


def _box(values: torch.Tensor, side: int) -> torch.Tensor:
    """The mean of side x side pixels, mirrored beyond the borders, as by cv2.blur."""
    padded = nn.functional.pad(values, (side // 2,) * 4, mode="reflect")
    return nn.functional.avg_pool2d(nn.functional.avg_pool2d(padded, (1, side), 1), (side, 1), 1)


class Residual(nn.Module):
    """(n, width, h, w) to the same: two convolutions whose result is added (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv(width, width)
        norm = nn.BatchNorm2d(width)
        # Nothing is added at the beginning, so that depth does not slow the start (Goyal et al.
        # 2017, 5.1).
        nn.init.zeros_(norm.weight)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), norm)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """See the class."""
        changed: torch.Tensor = values + self.second(self.first(values))
        return changed.relu()


def conv(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    """A convolution, its normalisation, and a ReLU."""
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def twice(values: torch.Tensor) -> torch.Tensor:
    """(n, c, h, w) to (n, c, 2 h, 2 w)."""
    return nn.functional.interpolate(values, scale_factor=2, mode="nearest")
