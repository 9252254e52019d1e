"""Convolutions at full resolution around the transformer.

A patch of 8 x 8 pixels has 192 values for the degraded image alone, as many as a small token is
wide, so fine detail does not get through the tokens. The refiner reads it from the pixels and adds
to it what the tokens say. What it gains has not been measured apart from the rest.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="replicate")


class Refiner(nn.Module):
    """Noisy and degraded pixels and the transformer's features to the prediction in pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = _convolution(6, channels)
        self.join = _convolution(2 * channels, channels)
        self.mix = _convolution(channels, channels)
        self.out = _convolution(channels, 3)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, pixels: Tensor, features: Tensor) -> Tensor:
        """(batch, 6, h, w) and (batch, channels, h, w) to (batch, 3, h, w)."""
        detail = functional.relu(self.stem(pixels))
        joined = functional.relu(self.join(torch.cat([detail, features.to(detail.dtype)], dim=1)))
        return self.out(joined + functional.relu(self.mix(joined)))
