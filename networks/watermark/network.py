"""The network: where in an image something is written or drawn over it, and what kind of thing."""

from enum import StrEnum

import cv2
import numpy as np
import torch
from torch import nn

from catalog.images import Rgb

STRIDE = 4
"""Pixels of the image to one cell of the map."""
MULTIPLE = 32
"""Sides of the inputs are multiples of this."""
TOPS = (16, 64, 256)
"""Counts of the strongest cells whose mean logits are an image's evidence: from about three small
letters to a line of large ones."""
WIDTHS = (48, 64, 128, 192)


class Kind(StrEnum):
    """What a mark is."""

    WATERMARK = "watermark"
    """a name, an agency's pale or repeated writing"""
    TEXT = "text-overlay"
    """a caption or a date stamp"""
    LOGO = "logo"
    """a sign"""


KINDS = tuple(Kind)


class MarkNet(nn.Module):
    """A small U-Net from `inputs`, (n, 4, h, w), to (n, 1 + len(KINDS), h / 4, w / 4) logits.

    The first channel is that of a mark, the others those of its kind where one is. h and w are
    multiples of 32. Its first layer sees blocks of 4 x 4 pixels, so that no convolution runs at the
    full resolution; its deepest level, 32 pixels to a cell, sees the whole of a large letter and
    its neighbours.
    """

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.quarter = nn.Sequential(
            nn.PixelUnshuffle(STRIDE), _conv(4 * STRIDE**2, a), _conv(a, a)
        )
        self.eighth = nn.Sequential(_conv(a, b, stride=2), _conv(b, b))
        self.sixteenth = nn.Sequential(_conv(b, c, stride=2), _conv(c, c))
        self.deep = nn.Sequential(_conv(c, d, stride=2), _conv(d, d), _conv(d, d))
        self.up_sixteenth = nn.Sequential(_conv(c + d, c, kernel=1), _conv(c, c))
        self.up_eighth = nn.Sequential(_conv(b + c, b, kernel=1), _conv(b, b))
        self.up_quarter = nn.Sequential(_conv(a + b, a, kernel=1), _conv(a, a))
        self.head = nn.Conv2d(a, 1 + len(KINDS), 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits by cell."""
        quarter = self.quarter(inputs)
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        deep = self.deep(sixteenth)
        sixteenth = self.up_sixteenth(torch.cat([sixteenth, _twice(deep)], dim=1))
        eighth = self.up_eighth(torch.cat([eighth, _twice(sixteenth)], dim=1))
        quarter = self.up_quarter(torch.cat([quarter, _twice(eighth)], dim=1))
        logits: torch.Tensor = self.head(quarter)
        return logits


def evidence(marks: torch.Tensor) -> torch.Tensor:
    """(n, rows, columns) logits of marks to (n, len(TOPS)): means of the strongest cells.

    The cells are smoothed 3 x 3 first: one that is strong by itself is no letter.
    """
    smooth = nn.functional.avg_pool2d(marks[:, None], 3, 1, 1, count_include_pad=False)
    flat = smooth.flatten(1)
    strongest = flat.topk(min(max(TOPS), flat.shape[1]), dim=1).values
    return torch.stack([strongest[:, :count].mean(dim=1) for count in TOPS], dim=1)


def inputs(image: Rgb) -> np.ndarray:
    """(4, h, w) float32 of an (h, w, 3) uint8 image: colour, and luma against its surroundings.

    The fourth channel is the high-pass over its local deviation, which shows a pale mark on calm
    ground as clearly as a strong one on busy ground.
    """
    values = image.astype(np.float32) / 255 - 0.5
    luma = cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)
    high = luma - cv2.blur(luma, (17, 17))
    deviation = np.sqrt(np.maximum(cv2.blur(high * high, (33, 33)), 0)) + 0.02
    return np.concatenate([values.transpose(2, 0, 1), np.clip(high / deviation, -4, 4)[None] / 2])


def _conv(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def _twice(values: torch.Tensor) -> torch.Tensor:
    return nn.functional.interpolate(values, scale_factor=2, mode="nearest")
