"""The levels that the package's own small networks of images share, and what they look at."""

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


class Pyramid(nn.Module):
    """Four levels down from (n, 4, h, w) `planes`, and two up again.

    h and w are multiples of 32. Its first layer sees blocks of 4 x 4 pixels, so that no convolution
    runs at the full resolution; its deepest level has 32 pixels to a cell.
    """

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.quarter = nn.Sequential(nn.PixelUnshuffle(STRIDE), conv(4 * STRIDE**2, a), conv(a, a))
        self.eighth = nn.Sequential(conv(a, b, stride=2), conv(b, b))
        self.sixteenth = nn.Sequential(conv(b, c, stride=2), conv(c, c))
        self.deep = nn.Sequential(conv(c, d, stride=2), conv(d, d), conv(d, d))
        self.up_sixteenth = nn.Sequential(conv(c + d, c, kernel=1), conv(c, c))
        self.up_eighth = nn.Sequential(conv(b + c, b, kernel=1), conv(b, b))

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
