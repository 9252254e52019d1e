"""Haze on tensors; see networks.degraders.haze."""

from torch import Tensor

from networks.degraders.haze import SOFTENING, HazePlan
from networks.degraders.tensors import operators as ops
from networks.degraders.tensors.normals import Normals


def render(image: Tensor, plan: HazePlan, normals: Normals) -> Tensor:
    """(3, h, w) in 0..1 of 8 bits, in fog."""
    height, width = image.shape[-2:]
    banks = ops.field(plan.banks, height, width, image.device)
    depth = ops.upload(plan.depth, image.device)
    share = (plan.near + (1 - plan.near) * depth) * (1 + plan.uneven * (2 * banks - 1))
    if plan.pattern is not None:
        share = (share + ops.upload(plan.pattern, image.device)) / 2
    thickness = plan.density * share
    linear = ops.to_linear(image)
    soft = (thickness / SOFTENING[2]).clamp(max=1) * SOFTENING[1]
    linear = linear + (ops.gaussian(linear, plan.soft) - linear) * soft
    through = (-thickness).exp()
    airlight = ops.colour(plan.airlight, image.device)
    return ops.to_srgb(linear * through + airlight * (1 - through))
