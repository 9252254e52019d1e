"""How many processes may hold the networks: each has a copy of its own."""

import os
from collections import Counter
from collections.abc import Sequence

import torch

LARGE = 1 << 31
"""Bytes of weights from which the main memory holds one copy only."""
SPARE = 1 << 30
"""Bytes beside the weights on a GPU: CUDA's own, and a batch."""


def most_copies(modules: Sequence[torch.nn.Module]) -> int | None:
    """How many further copies of `modules` fit, at least 1; None where memory sets no limit.

    On a GPU by what is free there now, each with half its size again for what it computes.
    """
    sizes: Counter[str] = Counter()
    for module in modules:
        for weight in module.parameters():
            sizes[weight.device.type] += weight.numel() * weight.element_size()
    if sizes["cuda"]:
        free, _ = torch.cuda.mem_get_info()
        return max(1, min(os.cpu_count() or 1, free // (sizes["cuda"] * 3 // 2 + SPARE)))
    return 1 if sizes["cpu"] > LARGE else None
