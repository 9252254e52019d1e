"""Activation checkpointing of a block: whole, selective, or switched off again where it fits."""

from collections.abc import Callable
from functools import partial
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

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """As the block."""
        if not self.enabled:
            return self._checkpoint_wrapped_module(*arguments, **named)
        return super().forward(*arguments, **named)


def blocks_to_spare(all_on: float, one_off: float, blocks: int, limit: float) -> int:
    """How many of `blocks` need not run again.

    all_on: peak bytes of a step with every block recomputed; one_off: with one block that is not;
    limit: bytes there may be.
    """
    cost = one_off - all_on
    if cost <= 0:
        return blocks
    return max(0, min(blocks, int((limit - all_on) / cost)))


def fit_memory(model: nn.Module, step: Callable[[], None], share: float = 0.92) -> int:
    """Switch recomputation off for as many blocks as the GPU's memory allows; their number.

    step: a forward and backward pass whose gradients are thrown away; the optimizer's states are
    there already. Without a GPU nothing is switched.
    """
    blocks = [module for module in model.modules() if isinstance(module, Recompute)]
    if not torch.cuda.is_available() or not blocks:
        return 0

    def peak() -> float:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        step()
        return float(torch.cuda.max_memory_allocated())

    all_on = peak()
    blocks[0].enabled = False
    one_off = peak()
    blocks[0].enabled = True
    limit = torch.cuda.mem_get_info()[1] * share
    spare = blocks_to_spare(all_on, one_off, len(blocks), limit)
    for block in blocks[:spare]:
        block.enabled = False
    return spare
