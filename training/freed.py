"""Gradients that are used and dropped inside the backward pass, so that few are held at a time.

Each parameter has an optimizer of its own, which steps as soon as that parameter's gradient is
whole (LOMO, arXiv 2306.09782, and the optimizer-in-backward recipe of PyTorch). The norm of the
whole gradient, which clipping needs, is known only afterwards: "exact" runs a first backward pass
that only measures it, at the price of a second forward and backward pass; "lagged" clips by the
norm of the step before, and measures its first one as "exact" does.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from catalog.settings.training import Stage
from training.optimizer import make_optimizer, optimizer_step, set_rate


class FreedGradients:
    """One optimizer a parameter, stepped by hooks of the backward pass."""

    def __init__(self, parameters: Iterable[nn.Parameter], stage: Stage) -> None:
        self.stage = stage
        self.optimizers = {p: make_optimizer([p], stage) for p in parameters}
        self.last_norm: float | None = None
        """Of the step before, for "lagged"."""
        self._squares: list[Tensor] = []
        self._scale = 1.0
        self._stepping = True
        for parameter in self.optimizers:
            parameter.register_post_accumulate_grad_hook(self._take)

    def _take(self, parameter: Tensor) -> None:
        gradient = parameter.grad
        assert gradient is not None
        self._squares.append(gradient.detach().float().square().sum())
        if self._stepping:
            if self._scale != 1.0:
                gradient.mul_(self._scale)
            optimizer_step(self.optimizers[parameter])  # type: ignore[index]
        parameter.grad = None

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Inside, backward passes drop their gradients and change nothing."""
        self._stepping = False
        try:
            yield
        finally:
            self._stepping, self._squares = True, []

    def _norm(self) -> float:
        total = torch.stack(self._squares).sum().sqrt().item()
        self._squares = []
        return float(total)

    def step(self, backward: Callable[[], Tensor], rate: float) -> tuple[Tensor, float]:
        """`backward` (which may run twice) with a step of every parameter; its losses, the norm.

        A loss or norm that is not finite takes no step in "exact", and in "lagged" none where the
        loss is known before the backward pass (the caller checks).
        """
        for optimizer in self.optimizers.values():
            set_rate(optimizer, rate)
        mode: Literal["no", "lagged", "exact"] = self.stage.free_gradients
        if mode == "exact" or self.last_norm is None:
            self._stepping = False
            losses = backward()
            self.last_norm = self._norm()
            if not torch.isfinite(torch.tensor(self.last_norm)):
                return losses, self.last_norm
        self._stepping = True
        self._scale = min(1.0, self.stage.clip / (self.last_norm + 1e-6))
        losses = backward()
        norm = self._norm()
        self.last_norm = norm
        return losses, norm

    def state_of(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """The optimizer's state of a parameter."""
        return self.optimizers[parameter].state[parameter]
