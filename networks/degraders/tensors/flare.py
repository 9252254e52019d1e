"""Flare on tensors; see networks.degraders.flare. The plan's layer is drawn by NumPy."""

from torch import Tensor

from networks.degraders.flare import SPILL, FlarePlan
from networks.degraders.tensors import operators as ops
from networks.degraders.tensors.normals import Normals


def render(image: Tensor, plan: FlarePlan, normals: Normals) -> Tensor:
    """(3, h, w) in 0..1 of 8 bits, with the light added."""
    height, width = image.shape[-2:]
    layer = ops.upload(plan.layer, image.device)
    total = ops.to_linear(image) + ops.resize(layer, height, width, "linear")
    if plan.pattern is not None:
        pattern = ops.upload(plan.pattern, image.device) / 255
        total = total + plan.gain * ops.to_linear(pattern)
    spill = (total - 1).clamp(min=0).mean(dim=0, keepdim=True)
    return ops.to_srgb(total + SPILL * spill)
