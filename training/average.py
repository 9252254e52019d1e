"""Exponential moving average of the weights."""

import torch
from torch import nn

from training.parallel import State, World, load_model_state, model_state, parameters_of


class Average:
    """Averaged copies of the weights, sharded as the model is."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {
            name: value.detach().clone() for name, value in parameters_of(model).items()
        }

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after `step` (from 0); early steps weigh more."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in parameters_of(model).items():
            self.weights[name].mul_(decay).add_(value.detach(), alpha=1 - decay)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the model's weights and the averages; a second call undoes it."""
        for name, value in parameters_of(model).items():
            own = value.detach().clone()
            value.copy_(self.weights[name])
            self.weights[name].copy_(own)

    def state(self, model: nn.Module, group: World) -> State:
        """All averages, unsharded (a collective call)."""
        self.swap(model)
        state = {name: value.clone() for name, value in model_state(model, group).items()}
        self.swap(model)
        return state

    def load(self, model: nn.Module, state: State, group: World) -> None:
        """Replace all averages by the first process's `state`."""
        self.swap(model)
        load_model_state(model, state, group)
        self.swap(model)
