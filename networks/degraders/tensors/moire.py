"""Moiré on tensors; see networks.degraders.moire."""

import math

import numpy as np
import torch
from torch import Tensor

from networks.degraders.moire import BLACK, HEADROOM, LEAST, SHOULDER, Lattice, MoirePlan
from networks.degraders.tensors import operators as ops
from networks.degraders.tensors.normals import Normals


def render(image: Tensor, plan: MoirePlan, normals: Normals) -> Tensor:
    """(3, h, w) in 0..1 of 8 bits, on a screen."""
    height, width = image.shape[-2:]
    device = image.device
    gain = sum(_sampled(lattice, height, width, device) for lattice in plan.lattices)
    focus = 0.55 + 0.45 * ops.field(plan.focus, height, width, device)
    gain = gain * focus * (plan.contrast / len(plan.lattices) ** 0.5)
    raw = ops.mosaic(ops.to_linear(image)) * (1 - BLACK) + BLACK
    raw = (raw * (1 + gain).clamp(min=LEAST) * HEADROOM).clamp(max=1)
    colour = ops.gaussian(ops.demosaic(raw), plan.optics) / HEADROOM
    colour = colour * ops.colour(plan.tint, device)
    rest = 1 - SHOULDER
    over = (colour - SHOULDER).clamp(min=0)
    return ops.to_srgb(colour.clamp(max=SHOULDER) + rest * torch.tanh(over / rest))


def _sampled(lattice: Lattice, height: int, width: int, device: torch.device) -> Tensor:
    side = max(height, width)
    # On the CPU in double precision: a column and a row, and not all devices have doubles.
    x, y = np.arange(width) - width / 2, np.arange(height) - height / 2
    across = torch.from_numpy(x.astype(np.float32)).to(device)[None, None, :]
    down = torch.from_numpy(y.astype(np.float32)).to(device)[None, :, None]
    stretch = lattice.slope / side * (
        across * math.cos(lattice.towards) + down * math.sin(lattice.towards)
    ) + lattice.bend / side**2 * (across**2 + down**2)

    def turns(frequency: tuple[float, float]) -> Tensor:
        plain_x = torch.from_numpy((x * frequency[0] % 1.0).astype(np.float32)).to(device)
        plain_y = torch.from_numpy((y * frequency[1] % 1.0).astype(np.float32)).to(device)
        moved = (across * frequency[0] + down * frequency[1]) * stretch
        return moved + plain_x[None, None, :] + plain_y[None, :, None]

    wave = turns(lattice.frequency)
    wave = wave + lattice.waves * ops.field(lattice.warp, height, width, device)
    wave[:, 0::2, 0::2] -= 1 / 3
    wave[:, 1::2, 1::2] += 1 / 3
    rows = turns(lattice.gaps) + lattice.rows / (2 * math.pi)
    return 0.75 * torch.cos(2 * math.pi * wave) + 0.2 * torch.cos(2 * math.pi * rows)
