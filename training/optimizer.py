"""AdamW with frozen parameters and a schedule of the learning rate."""

import difflib
import math
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from catalog.errors import UserError
from catalog.settings.training import Stage


def freeze(model: nn.Module, patterns: tuple[str, ...]) -> list[str]:
    """Stop the gradients of parameters whose name matches a pattern; return their names.

    Raises `UserError` for a pattern that matches nothing, or when nothing is left to learn.
    """
    parameters = dict(model.named_parameters())
    frozen: list[str] = []
    for pattern in patterns:
        matched = [name for name in parameters if fnmatchcase(name, pattern)]
        if not matched:
            near = difflib.get_close_matches(pattern, parameters, n=1, cutoff=0.3)
            hint = f"The nearest name is {near[0]}." if near else "See `mendline train --dry-run`."
            raise UserError(f"freeze: {pattern!r} matches no parameter of the model.", hint)
        frozen += matched
    for name in frozen:
        parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise UserError("freeze: every parameter is frozen.", "Leave some out of `freeze`.")
    return sorted(set(frozen))


def learning_rate(stage: Stage, step: int) -> float:
    """Of `step` (from 0): linear warm-up, then constant or cosine to 0 at `stage.steps`."""
    if step < stage.warmup:
        return stage.learning_rate * (step + 1) / stage.warmup
    if stage.schedule == "constant":
        return stage.learning_rate
    done = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return stage.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def make_optimizer(parameters: Iterable[nn.Parameter], stage: Stage) -> torch.optim.Optimizer:
    """AdamW over `parameters`, as `stage` says.

    fp32 weights have fp32 states. bf16 weights are rounded stochastically, since a step of 1e-5 is
    below their half digit and would else be lost. Raises `UserError` without torchao, which states
    in 8 bits and stochastic rounding need.
    """
    learning = list(parameters)
    options: dict[str, Any] = {
        "lr": stage.learning_rate,
        "betas": stage.betas,
        "eps": stage.eps,
        "weight_decay": stage.weight_decay,
    }
    rounded = any(parameter.dtype == torch.bfloat16 for parameter in learning)
    if stage.optimizer == "adamw-8bit" or rounded:
        return _low_bit(learning, stage.optimizer == "adamw-8bit", options)
    return torch.optim.AdamW(
        learning,
        **options,
        # The fused kernel of the CPU takes no sharded tensors.
        fused=not any(isinstance(p, DTensor) and not p.is_cuda for p in learning),
    )


def _low_bit(
    learning: list[nn.Parameter], eight: bool, options: dict[str, Any]
) -> torch.optim.Optimizer:
    try:
        from torchao import optim
    except ImportError:
        raise UserError(
            "bf16 weights and adamw-8bit need torchao, which is not installed.",
            "Run: pip install 'mendline[low-bit]'.",
        ) from None
    made: Any = optim.AdamW8bit if eight else optim._AdamW
    optimizer: torch.optim.Optimizer = made(learning, **options, bf16_stochastic_round=True)
    return optimizer


def optimizer_step(optimizer: torch.optim.Optimizer) -> None:
    """A step; torchao's kernel is compiled on a GPU only."""
    compiled = any(p.is_cuda for group in optimizer.param_groups for p in group["params"])
    if compiled or isinstance(optimizer, torch.optim.AdamW):
        optimizer.step()
        return
    with torch.compiler.set_stance("force_eager"):
        optimizer.step()


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the next step; torchao keeps it in a tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
