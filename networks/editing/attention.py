"""Which kernel scaled_dot_product_attention may take on a GPU.

Left to itself PyTorch takes cuDNN's kernel on recent cards, which died of an illegal memory access
under diffusers' classes at 8,832 tokens (H100, torch 2.11). So the default here is FlashAttention;
masks, which it does not take, go to the memory-efficient kernel.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

Attention = Literal["flash", "efficient", "cudnn", "any"]

_OTHERS = (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)
_FIRST = {
    "flash": _OTHERS,
    "efficient": (SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH),
    "cudnn": (SDPBackend.CUDNN_ATTENTION, *_OTHERS),
}


def kernels(name: Attention, device: torch.device | str) -> AbstractContextManager[Any]:
    """Inside, the first of these that takes the input; "any" and a CPU change nothing."""
    if name == "any" or torch.device(device).type != "cuda":
        return nullcontext()
    return sdpa_kernel(list(_FIRST[name]), set_priority=True)
