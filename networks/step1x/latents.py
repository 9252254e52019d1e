"""Packed latents, position ids, and the time shift."""

import math

import torch
from torch import Tensor

from networks.editing.base import pack, unpack

__all__ = ["denormalise", "normalise", "pack", "position_ids", "shift_mu", "timesteps", "unpack"]

SCALE, SHIFT = 0.3611, 0.1159
"""Of the FLUX autoencoder: latents are SCALE * (z - SHIFT)."""


def normalise(z: Tensor) -> Tensor:
    """The autoencoder's z to the transformer's latents."""
    return SCALE * (z - SHIFT)


def denormalise(latents: Tensor) -> Tensor:
    """The inverse of `normalise`."""
    return latents / SCALE + SHIFT


def position_ids(text_tokens: int, height: int, width: int, reference_axis: int) -> Tensor:
    """(text + 2 * h/2 * w/2, 3): zeros for text, (0, y, x) for the target, then the reference.

    `height`, `width`: of the latents. `reference_axis`: 0 in v1.0, 1 in v1.1 and RealRestorer.
    """
    rows, columns = height // 2, width // 2
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    grid = torch.stack([torch.zeros_like(y), y, x], dim=-1).reshape(-1, 3).float()
    reference = grid.clone()
    reference[:, 0] = reference_axis
    return torch.cat([torch.zeros(text_tokens, 3), grid, reference])


def shift_mu(tokens: int) -> float:
    """mu of the time shift, linear from 0.5 at 256 target tokens to 1.15 at 4096 (FLUX)."""
    return 0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256)


def timesteps(steps: int, tokens: int) -> Tensor:
    """(steps + 1,) times from 1 to 0, shifted: e^mu / (e^mu + 1/t - 1)."""
    t = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    scale = math.exp(shift_mu(tokens))
    shifted = torch.where(t > 0, scale / (scale + 1 / t.clamp(min=1e-12) - 1), 0.0)
    return shifted.float()
