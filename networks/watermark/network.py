"""The network: where in an image something is written or drawn over it."""

import cv2
import numpy as np
import torch
from torch import nn

from catalog.images import Rgb

STRIDE = 4
"""Pixels of the image to one cell of the map."""
CELLS = 24
"""The strongest cells whose mean is the image's score: about the area of four small letters."""
WIDTHS = (24, 40, 64, 96)


class MarkNet(nn.Module):
    """A small U-Net: (n, 4, h, w) from `inputs` to logits of a mark, (n, h / 4, w / 4).

    h and w are multiples of 16. The deepest level sees 200 pixels around a cell, by dilation, so
    that repeated and slanted marks are seen as such.
    """

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.stem = _conv(4, a, kernel=5, stride=2)
        self.quarter = nn.Sequential(_conv(a, b, stride=2), _conv(b, b))
        self.eighth = nn.Sequential(_conv(b, c, stride=2), _conv(c, c))
        self.deep = nn.Sequential(_conv(c, d, stride=2), _conv(d, d, dilation=2))
        self.wide = _conv(d, d, dilation=4)
        self.up_eighth = _conv(c + d, c)
        self.up_quarter = _conv(b + c, b)
        self.head = nn.Conv2d(b, 1, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits by cell."""
        quarter = self.quarter(self.stem(inputs))
        eighth = self.eighth(quarter)
        deep = self.deep(eighth)
        deep = deep + self.wide(deep)
        middle = self.up_eighth(torch.cat([eighth, _twice(deep)], dim=1))
        fine = self.up_quarter(torch.cat([quarter, _twice(middle)], dim=1))
        logits: torch.Tensor = self.head(fine)
        return logits[:, 0]


def score(logits: torch.Tensor) -> torch.Tensor:
    """(n, rows, columns) logits to (n,): the mean of the strongest `CELLS`, each smoothed 3 x 3."""
    smooth = nn.functional.avg_pool2d(logits[:, None], 3, 1, 1, count_include_pad=False)
    flat = smooth.flatten(1)
    return flat.topk(min(CELLS, flat.shape[1]), dim=1).values.mean(dim=1)


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


def _conv(
    before: int, after: int, kernel: int = 3, stride: int = 1, dilation: int = 1
) -> nn.Module:
    padding = kernel // 2 * dilation
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, padding, dilation, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def _twice(values: torch.Tensor) -> torch.Tensor:
    return nn.functional.interpolate(values, scale_factor=2, mode="nearest")
