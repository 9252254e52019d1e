"""Hidden states of the text encoder as the transformer wants them: 640 rows, the template gone."""

import torch
from torch import Tensor

LENGTH = 640
TEMPLATE = 217
"""Leading hidden states that belong to the system prompt and are dropped."""


def trim_and_pad(states: Tensor) -> tuple[Tensor, Tensor]:
    """One prompt's (tokens, width) to states (640, width) and mask (640,) bool.

    The first 217 are dropped, what is longer than 640 is cut, what is shorter is filled with
    zeros. The mask governs the connector alone: the transformer attends to the padding too, so its
    length matters. Raises `ValueError` when nothing is left.
    """
    kept = states[TEMPLATE : TEMPLATE + LENGTH]
    if not len(kept):
        raise ValueError(f"{len(states)} hidden states are no more than the template's {TEMPLATE}")
    padded = states.new_zeros(LENGTH, states.shape[1])
    padded[: len(kept)] = kept
    return padded, torch.arange(LENGTH, device=states.device) < len(kept)
