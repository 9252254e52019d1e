"""The network: where in an image something is written or drawn over it, and what kind of thing."""

import numpy as np
import torch
from torch import nn

from catalog.images import Rgb
from networks.pyramid import WIDTHS, Pyramid, conv, planes, twice
from networks.watermark.kinds import KINDS

TOPS = (16, 64, 256)
"""Counts of the strongest cells whose mean logits are an image's evidence: from about three small
letters to a line of large ones."""


class MarkNet(Pyramid):
    """A small U-Net from `inputs`, (n, 4, h, w), to (n, 1 + len(KINDS), h / 4, w / 4) logits.

    The first channel is that of a mark, the others those of its kind where one is. The deepest
    level sees the whole of a large letter and its neighbours.
    """

    def __init__(self) -> None:
        super().__init__()
        a, b, _, _ = WIDTHS
        self.up_quarter = nn.Sequential(conv(a + b, a, kernel=1), conv(a, a))
        self.head = nn.Conv2d(a, 1 + len(KINDS), 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits by cell."""
        quarter, *_, up_eighth = self.levels(inputs)
        quarter = self.up_quarter(torch.cat([quarter, twice(up_eighth)], dim=1))
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
    """(4, h, w) float32 `planes` of an (h, w, 3) uint8 image."""
    return planes(image.astype(np.float32) / np.float32(255))
