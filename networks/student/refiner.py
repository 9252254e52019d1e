"""A pyramid of convolutions around the transformer, for what does not fit through its tokens.

A patch of 8 x 8 pixels has 192 values for the degraded image alone, as many as a small token is
wide. The pyramid reads the pixels at 1/2, 1/4, ... of the size down to the patch, adds what it saw
to the tokens, and builds the prediction up again from the transformer's features with its own
finer scales beside them (the U shape of NAFNet, arXiv 2204.04676, around a transformer).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """x + conv(relu(conv(x) modulated by the conditioning vector)); starts as the identity."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.modulation = nn.Linear(width, 2 * channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        nn.init.zeros_(self.second.weight)
        assert self.second.bias is not None
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """(batch, channels, h, w) and (batch, width), a new value of the first's shape."""
        scale, shift = self.modulation(functional.silu(vector))[:, :, None, None].chunk(2, dim=1)
        return x + self.second(functional.relu(torch.addcmul(shift, self.first(x), 1 + scale)))


class Refiner(nn.Module):
    """Pixels to features beside the tokens, and features with tokens to a prediction in pixels.

    `channels` are those at half the size; each scale below has twice as many. `patch` is a power of
    two, `width` that of the tokens and of the conditioning vector.
    """

    def __init__(self, channels: int, patch: int, width: int) -> None:
        super().__init__()
        scales = [channels * 2**level for level in range(patch.bit_length() - 2)]
        self.scales, self.width = scales, width
        self.enter = nn.Conv2d(6, scales[0], 4, stride=2, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(scales))
        self.to_tokens = nn.Conv2d(scales[-1], width, 2, stride=2)
        self.from_tokens = nn.ConvTranspose2d(width, scales[-1], 2, stride=2)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in reversed(list(pairwise(scales)))
        )
        self.before = nn.ModuleList(Block(count, width) for count in scales)
        self.after = nn.ModuleList(Block(count, width) for count in reversed(scales))
        self.out = nn.ConvTranspose2d(scales[0], 3, 4, stride=2, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def encode(self, pixels: Tensor, vector: Tensor) -> tuple[list[Tensor], Tensor]:
        """(batch, 6, h, w) to the features by scale, and (batch, tokens, width) for the tokens."""
        x = self.enter(pixels.contiguous(memory_format=torch.channels_last))
        scales = [x := self.before[0](x, vector)]
        for down, block in zip(self.down, self.before[1:], strict=True):
            scales.append(x := block(down(x), vector))
        return scales, self.to_tokens(x).flatten(2).transpose(1, 2)

    def decode(self, tokens: Tensor, scales: list[Tensor], vector: Tensor) -> Tensor:
        """(batch, tokens, width) with what `encode` saw, to (batch, 3, h, w)."""
        height, width = (side // 2 for side in scales[-1].shape[-2:])
        grid = tokens.transpose(1, 2).unflatten(2, (height, width))
        x = self.from_tokens(grid.contiguous(memory_format=torch.channels_last))
        x = self.after[0](x + scales[-1], vector)
        for up, block, skip in zip(self.up, self.after[1:], reversed(scales[:-1]), strict=True):
            x = block(up(x) + skip, vector)
        return self.out(x)

    def macs(self) -> int:
        """Multiply-adds a patch."""
        positions = [4 ** (len(self.scales) - level) for level in range(len(self.scales))]
        total = 2 * self.scales[-1] * self.width * 4  # to the tokens and from them
        total += (6 + 3) * 16 * self.scales[0] * positions[0]  # enter, out
        for (fine, coarse), count in zip(pairwise(self.scales), positions[1:], strict=True):
            total += 2 * 4 * fine * coarse * count  # down, up
        for channels, count in zip(self.scales, positions, strict=True):
            total += 2 * 2 * 9 * channels**2 * count  # the blocks of both ways
        return total
