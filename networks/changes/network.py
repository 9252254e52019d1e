"""The network: in which cells of a pair the content is another."""

import torch
from torch import nn

from catalog.degradations import Degradation
from networks.changes.maps import CHANNELS

WIDTH = 32
DILATIONS = (1, 2, 4, 1, 2, 1)
CELLS = 5
"""The strongest cells whose mean is the pair's score: a disc of 0.8 % of a 3:2 image."""


class ChangeNet(nn.Module):
    """(n, CHANNELS, h, w) maps and (n,) numbers of degradations to (n, h, w) logits of a change.

    What a window may disagree depends on the degradation and on the rest of the image, so both
    enter every block: as an embedding, and as the mean over the image.
    """

    def __init__(self) -> None:
        super().__init__()
        self.task = nn.Embedding(len(Degradation), WIDTH)
        self.stem = nn.Conv2d(CHANNELS, WIDTH, 1)
        self.blocks = nn.ModuleList(_Block(dilation) for dilation in DILATIONS)
        self.head = nn.Conv2d(WIDTH, 1, 1)

    def forward(self, maps: torch.Tensor, tasks: torch.Tensor) -> torch.Tensor:
        """See the class."""
        task = self.task(tasks)
        x = self.stem(maps)
        for block in self.blocks:
            x = block(x, task)
        logits: torch.Tensor = self.head(x)[:, 0]
        return logits


class _Block(nn.Module):
    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, WIDTH)
        self.context = nn.Linear(2 * WIDTH, WIDTH)
        self.conv = nn.Conv2d(
            WIDTH, WIDTH, 3, padding=dilation, dilation=dilation, padding_mode="replicate"
        )
        self.out = nn.Conv2d(WIDTH, WIDTH, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, x: torch.Tensor, task: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        around = self.context(torch.cat([y.mean(dim=(2, 3)), task], dim=1))
        y = nn.functional.silu(self.conv(y) + around[:, :, None, None])
        return x + self.out(y)


def score(logits: torch.Tensor) -> torch.Tensor:
    """(n,) how surely something changed: the mean of the `CELLS` strongest cells."""
    flat = logits.flatten(1)
    return flat.topk(min(CELLS, flat.shape[1]), dim=1).values.mean(dim=1)
