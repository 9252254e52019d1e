"""Exponential moving average of the weights."""

import torch
from torch import Tensor, nn


class Average:
    """Averaged copies of the floating-point state; decay 0 follows the model exactly."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after `step` (from 0); early steps weigh more."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            self.weights[name].lerp_(value.detach(), 1 - decay)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Replace all averages."""
        for name, value in self.weights.items():
            value.copy_(weights[name])
