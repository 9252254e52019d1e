"""Classifier-free guidance with the norm rule of Step1X-Edit."""

import torch
from torch import Tensor

NORM_ABOVE = 0.93
POWER = 0.4


def guide(conditional: Tensor, unconditional: Tensor, t: float, scale: float) -> Tensor:
    """Guided velocity of (batch, tokens, channels).

    Above t = 0.93 the difference of each token is divided by its norm to the power 0.4 where that
    norm exceeds 1.
    """
    difference = conditional - unconditional
    if t > NORM_ABOVE:
        norm = torch.linalg.vector_norm(difference, dim=-1, keepdim=True)
        difference = difference / norm.clamp(min=1.0).pow(POWER)
    return unconditional + scale * difference
