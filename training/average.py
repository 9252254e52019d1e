"""Exponential moving average of the weights that learn."""

import torch
from torch import Tensor, nn

from training.parallel import learning


class Average:
    """Averaged copies of the weights, sharded as the model is; float32 for bf16 weights."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._aside: dict[str, Tensor] | None = None
        self.weights = {
            name: value.detach().float().clone() for name, value in learning(model).items()
        }

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after `step` (from 0); early steps weigh more."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in learning(model).items():
            self.weights[name].mul_(decay).add_(value.detach().float(), alpha=1 - decay)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the model's weights and the averages; a second call undoes it.

        bf16 weights come back bit for bit, and the averages as bf16 has them meanwhile.
        """
        if self._aside is None:
            self._aside = {n: v.detach().clone() for n, v in learning(model).items()}
            for name, value in learning(model).items():
                value.copy_(self.weights[name])
            return
        for name, value in learning(model).items():
            value.copy_(self._aside[name])
        self._aside = None
