"""Activation checkpointing of a block: whole, selective, or switched off again where it fits."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointWrapper
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

_ATTENTION = {
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    torch.ops.aten._scaled_dot_product_cudnn_attention.default,
}
_PRODUCTS = {torch.ops.aten.mm.default, torch.ops.aten.addmm.default}


def _policy() -> Callable[..., CheckpointPolicy]:
    """Keep attention's results and every second product's (as torchtitan does)."""
    products = {True: 0, False: 0}

    def decide(context: Any, operator: Any, *_: Any, **__: Any) -> CheckpointPolicy:
        if operator in _ATTENTION:
            return CheckpointPolicy.MUST_SAVE
        if operator in _PRODUCTS:
            products[context.is_recompute] += 1
            if products[context.is_recompute] % 2:
                return CheckpointPolicy.MUST_SAVE
        return CheckpointPolicy.PREFER_RECOMPUTE

    return decide


def _contexts() -> Any:
    return create_selective_checkpoint_contexts(_policy())


class Recompute(CheckpointWrapper):
    """A block that keeps its input alone and runs again in the backward pass, while `enabled`."""

    def __init__(self, block: nn.Module, selective: bool = False) -> None:
        options: dict[str, Any] = {"context_fn": partial(_contexts)} if selective else {}
        super().__init__(block, **options)
        self.enabled = True

    @property
    def kind(self) -> type:
        """Class of the block."""
        return type(self._checkpoint_wrapped_module)

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """As the block."""
        if not self.enabled:
            return self._checkpoint_wrapped_module(*arguments, **named)
        return super().forward(*arguments, **named)


def blocks_to_spare(costs: Sequence[float], room: float) -> int:
    """How many of the first blocks need not run again.

    costs: bytes that each block takes more when it is not; room: bytes there are.
    """
    return sum(1 for total in accumulate(costs) if total <= room)


def fit_memory(
    model: nn.Module, step: Callable[[], None], alone: bool = True, share: float = 0.92
) -> int:
    """Switch recomputation off for as many blocks as the GPU's memory allows; their number.

    step: a forward and backward pass whose gradients are thrown away; the optimizer's states are
    there already. A block of each kind is measured, since they differ by far (the connector's have
    640 tokens), and where a process is `alone` the choice is tried before it is kept: the passes of
    several are collective. Without a GPU nothing is switched.
    """
    blocks = [module for module in model.modules() if isinstance(module, Recompute)]
    if not torch.cuda.is_available() or not blocks:
        return 0

    def peak() -> float:
        try:
            step()  # compiling takes memory of its own, the first time
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            step()
        except torch.OutOfMemoryError:
            if not alone or all(block.enabled for block in blocks):
                raise
            model.zero_grad(set_to_none=True)
            return math.inf
        return float(torch.cuda.max_memory_allocated())

    def fits(count: int) -> bool:
        for number, block in enumerate(blocks):
            block.enabled = number >= count
        return not alone or not count or peak() <= limit

    limit = torch.cuda.mem_get_info()[1] * share
    all_on = peak()
    costs: dict[type, float] = {}
    for block in blocks:
        if block.kind not in costs:
            # The first of its kind keeps its activations to the end of the backward pass.
            block.enabled = False
            costs[block.kind] = max(0.0, peak() - all_on)
            block.enabled = True
    spare = blocks_to_spare([costs[block.kind] for block in blocks], limit - all_on)
    while not fits(spare):
        spare = spare * 3 // 4
    return spare
