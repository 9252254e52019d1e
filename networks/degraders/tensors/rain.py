"""Rain on tensors; see networks.degraders.rain. Streaks and drops are drawn by OpenCV."""

import torch
from torch import Tensor

from networks.degraders.lens_drops import FOCUS, LensDrops
from networks.degraders.rain import BANKS, GUSTS, HIDDEN, VEIL, RainPlan
from networks.degraders.streaks import Layer
from networks.degraders.tensors import operators as ops
from networks.degraders.tensors.normals import Normals


def render(image: Tensor, plan: RainPlan, normals: Normals) -> Tensor:
    """(3, h, w) in 0..1 of 8 bits, in a shower."""
    height, width = image.shape[-2:]
    device = image.device
    depth = ops.upload(plan.depth, device)
    banks = BANKS[0] + BANKS[1] * ops.field(plan.banks, height, width, device)
    through = (-plan.veil * (VEIL[0] + VEIL[1] * depth) * banks).exp()
    clear = torch.ones((1, height, width), device=device)
    for layer in plan.layers:
        drawn = _softened(layer, device)
        clear = clear * (1 - (drawn * (HIDDEN[0] + HIDDEN[1] * depth) if layer.hidden else drawn))
    gusts = GUSTS[0] + GUSTS[1] * ops.field(plan.gusts, height, width, device)
    clear = 1 - (1 - clear) * gusts * plan.opacity
    if plan.near is not None:
        clear = clear * (1 - _softened(plan.near, device))
    mist = (1 - through) * clear * ops.colour(plan.airlight, device)
    drops = (1 - clear) * ops.colour(plan.drop, device)
    wet = ops.to_linear(image) * through * clear + mist + drops
    return ops.to_srgb(wet if plan.drops is None else _seen_through(wet, plan.drops))


def _softened(layer: Layer, device: torch.device) -> Tensor:
    return ops.gaussian(ops.upload(layer.canvas, device) * (layer.gain / 255), layer.sigma)


def _seen_through(linear: Tensor, drops: LensDrops) -> Tensor:
    height, width = linear.shape[-2:]
    device = linear.device
    at, x, y, shade, edge = (
        torch.from_numpy(values).to(device)
        for values in (drops.at, drops.x, drops.y, drops.shade, drops.edge)
    )
    blur = min(height, width) * FOCUS
    half = ops.resize(linear, -(-height // 2), -(-width // 2), "area")
    view = ops.sample(ops.gaussian(half, blur), (x - 0.5) / 2, (y - 0.5) / 2) * shade
    seen = linear.flatten(1).index_copy(1, at, view).reshape(linear.shape)
    alpha = torch.zeros(height * width, device=device).index_copy(0, at, edge)
    return linear + (seen - linear) * ops.gaussian(alpha.reshape(1, height, width), blur)
