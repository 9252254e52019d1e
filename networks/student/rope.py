"""Rotary position embedding over three axes (reference id, y, x), as in FLUX."""

import torch
from torch import Tensor

THETA = 10_000.0

Rotation = tuple[Tensor, Tensor]
"""Cosines and sines of every token."""


def axis_widths(head_width: int) -> tuple[int, int, int]:
    """Even channels of a head for (id, y, x), near FLUX's 1/8, 7/16, 7/16 (16, 56, 56 of 128)."""
    first = max(2, head_width // 8 // 2 * 2)
    if (head_width - first) // 2 % 2:
        first += 2
    side = (head_width - first) // 2
    return first, side, side


def positions(identifier: int, rows: int, columns: int) -> Tensor:
    """(rows * columns, 3) positions (identifier, y, x) of a grid of patches, row by row."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    first = torch.full_like(y, identifier)
    return torch.stack([first, y, x], dim=-1).reshape(-1, 3).float()


def rotations(position: Tensor, widths: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (tokens, sum(widths) / 2), of angle position * THETA^(-2i/width)."""
    angles = []
    for axis, width in enumerate(widths):
        powers = torch.arange(0, width, 2, dtype=torch.float64, device=position.device) / width
        angles.append(position[:, axis, None].double() * THETA**-powers)
    angle = torch.cat(angles, dim=-1)
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate the channel pairs (2i, 2i+1) of (batch, heads, tokens, head width)."""
    cosine, sine = (part.to(x.dtype) for part in rotation)
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([even * cosine - odd * sine, odd * cosine + even * sine], dim=-1).flatten(-2)
