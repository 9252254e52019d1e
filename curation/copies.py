"""How many processes may hold the networks: each has a copy of its own."""

from collections import Counter
from collections.abc import Iterable

import torch

from catalog.log import logger
from catalog.memory import free_memory
from catalog.threads import cores

LARGE = 1 << 31
"""Bytes of weights from which the main memory holds one copy only."""
SPARE = 1 << 30
"""Bytes beside the weights on a GPU: CUDA's own, and a batch."""
BESIDE = 3 << 29
"""Bytes beside the weights in the main memory: processes that judge photos by measures and small
networks and read the marks on them were seen to grow to 1.3 GB."""


def most_copies(networks: Iterable[object], free: int | None = None) -> int:
    """How many further copies of `networks` fit, at least 1 and at most one a core.

    One that runs here has its weights in an attribute `model`; what asks a server, measures, or is
    not there (None) takes no more than `BESIDE`.

    On a GPU by what is free there now, each with half its size again for what it computes; else by
    the main memory, of which `free` bytes are free, by default those that are now.
    """
    sizes: Counter[str] = Counter()
    for network in networks:
        model = getattr(network, "model", None)
        for weight in model.parameters() if isinstance(model, torch.nn.Module) else ():
            sizes[weight.device.type] += weight.numel() * weight.element_size()
    if sizes["cuda"]:
        on_card, _ = torch.cuda.mem_get_info()
        return max(1, min(cores(), on_card // (sizes["cuda"] * 3 // 2 + SPARE)))
    if sizes["cpu"] > LARGE:
        return 1
    free = free_memory() if free is None else free
    room = max(1, free // (sizes["cpu"] + BESIDE))
    if room < cores():
        free_gb = round(free / 1e9, 1)
        logger(__name__).info("memory-is-short", processes=room, of=cores(), free_gb=free_gb)
    return min(room, cores())
