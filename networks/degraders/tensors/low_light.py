"""Low light on tensors; see networks.degraders.low_light."""

import torch
from torch import Tensor

from networks.degraders.low_light import GRAIN, LowLightPlan
from networks.degraders.tensors import operators as ops
from networks.degraders.tensors.jpeg import jpeg
from networks.degraders.tensors.normals import Normals


def render(image: Tensor, plan: LowLightPlan, normals: Normals) -> Tensor:
    """(3, h, w) in 0..1 of 8 bits, underexposed."""
    height, width = image.shape[-2:]
    field = ops.field(plan.light, height, width, image.device)
    mixing = torch.from_numpy(plan.colours).to(image.device)
    dark = torch.einsum("kc,chw->khw", mixing, ops.to_linear(image))
    dark = (dark * (plan.loss * (1 - plan.uneven * field))).clamp(min=0)
    white, blotched, size = GRAIN
    grain = normals(3, height, width, plan.seed)
    grain = white * grain + blotched * ops.gaussian(grain, size)
    encoded = ops.to_srgb(dark + (dark / plan.photons + plan.read**2).sqrt() * grain)
    return jpeg(ops.rounded(encoded**plan.gamma), plan.quality)
