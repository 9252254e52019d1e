"""AdamW with frozen parameters and a schedule of the learning rate."""

import difflib
import math
from fnmatch import fnmatchcase

import torch
from torch import nn
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


def make_optimizer(model: nn.Module, stage: Stage) -> torch.optim.AdamW:
    """AdamW over the parameters that learn."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        learning,
        lr=stage.learning_rate,
        betas=stage.betas,
        eps=stage.eps,
        weight_decay=stage.weight_decay,
        # The fused kernel of the CPU takes no sharded tensors.
        fused=not any(isinstance(p, DTensor) and not p.is_cuda for p in learning),
    )
