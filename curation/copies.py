"""How many processes may hold the networks: each has a copy of its own."""

from collections import Counter
from collections.abc import Iterable

import torch

from catalog.threads import cores

LARGE = 1 << 31
"""Bytes of weights from which the main memory holds one copy only."""
SPARE = 1 << 30
"""Bytes beside the weights on a GPU: CUDA's own, and a batch."""


def most_copies(networks: Iterable[object]) -> int | None:
    """How many further copies of `networks` fit, at least 1; None where memory sets no limit.

    One that runs here has its weights in an attribute `model`; what asks a server, measures, or is
    not there (None) takes nothing.

    On a GPU by what is free there now, each with half its size again for what it computes.
    """
    sizes: Counter[str] = Counter()
    for network in networks:
        model = getattr(network, "model", None)
        for weight in model.parameters() if isinstance(model, torch.nn.Module) else ():
            sizes[weight.device.type] += weight.numel() * weight.element_size()
    if sizes["cuda"]:
        free, _ = torch.cuda.mem_get_info()
        return max(1, min(cores(), free // (sizes["cuda"] * 3 // 2 + SPARE)))
    return 1 if sizes["cpu"] > LARGE else None
