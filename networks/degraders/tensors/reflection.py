"""Reflection on tensors; see networks.degraders.reflection. Generated scenes are NumPy's."""

import numpy as np
import torch
from torch import Tensor

from networks.degraders.reflection import LEVEL, PATCHES, ReflectionPlan
from networks.degraders.tensors import operators as ops
from networks.degraders.tensors.normals import Normals


def render(image: Tensor, plan: ReflectionPlan, normals: Normals) -> Tensor:
    """(3, h, w) in 0..1 of 8 bits, behind glass."""
    height, width = image.shape[-2:]
    device = image.device
    scene = ops.upload(plan.scene, device)
    if plan.scene.dtype == np.uint8:
        scene = ops.to_linear(scene / 255)
    scene = ops.gaussian(scene, plan.blur)
    if plan.second is not None:
        x = torch.arange(width, device=device) - plan.second[0]
        y = torch.arange(height, device=device) - plan.second[1]
        across, down = x.expand(height, width), y[:, None].expand(height, width)
        scene = plan.share * scene + (1 - plan.share) * ops.sample(scene, across, down)
    level = LEVEL / torch.quantile(scene[:, ::4, ::4].flatten(), 0.97).clamp(min=0.05)
    weight = ops.resize(ops.upload(plan.weight, device), height, width, "linear")
    weight = weight * (PATCHES[0] + PATCHES[1] * ops.field(plan.patches, height, width, device))
    mirrored = scene * weight * level * ops.colour(plan.tint, device)
    return ops.to_srgb(plan.transmission * ops.to_linear(image) + mirrored)
