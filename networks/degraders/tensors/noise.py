"""Noise on tensors; see networks.degraders.noise."""

import torch
from torch import Tensor

from networks.degraders import noise
from networks.degraders.noise import NoisePlan
from networks.degraders.tensors import operators as ops
from networks.degraders.tensors.jpeg import jpeg
from networks.degraders.tensors.normals import Normals


def render(image: Tensor, plan: NoisePlan, normals: Normals) -> Tensor:
    """(3, h, w) in 0..1 of 8 bits, with noise and stored as a JPEG."""
    make = {"sensor": _sensor, "gaussian": _white, "grain": _grain, "segments": _by_segment}
    noisy = image + plan.sigma / 255 * make[plan.kind](image, plan, normals)
    return jpeg(ops.rounded(noisy), plan.quality, subsample=False)


def _white(image: Tensor, plan: NoisePlan, normals: Normals) -> Tensor:
    height, width = image.shape[-2:]
    return normals(1 if plan.grey else 3, height, width, plan.seed)


def _sensor(image: Tensor, plan: NoisePlan, normals: Normals) -> Tensor:
    height, width = image.shape[-2:]
    raw = ops.mosaic(image)
    deviation = (1 - plan.shot + plan.shot * 2 * raw).sqrt() * noise.DEMOSAIC_LOSS
    return ops.demosaic(deviation * normals(1, height, width, plan.seed))


def _grain(image: Tensor, plan: NoisePlan, normals: Normals) -> Tensor:
    height, width = image.shape[-2:]
    field = 0.7 * plan.colour * normals(3, height, width, plan.seed)
    share = (1 - 0.5 * plan.colour**2) ** 0.5
    field = field + share * normals(1, height, width, plan.seed + 1)
    field = ops.gaussian(field, plan.size)
    tone = ops.luminance(image)
    return field / field.std(correction=0).clamp(min=1e-6) * (0.45 + 2.2 * tone * (1 - tone))


def _by_segment(image: Tensor, plan: NoisePlan, normals: Normals) -> Tensor:
    assert plan.labels is not None and plan.mix is not None and plan.strength is not None
    labels = torch.from_numpy(plan.labels).to(image.device).long()[None]
    height, width = image.shape[-2:]
    fine = normals(3, height, width, plan.seed)
    coarse = ops.gaussian(fine, noise.COARSE)
    coarse = coarse / coarse.std(correction=0).clamp(min=1e-6)
    mix, level = (
        ops.gaussian(torch.from_numpy(values).to(image.device)[labels], noise.SOFT)
        for values in (plan.mix, plan.strength)
    )
    return (fine + (coarse - fine) * mix) * level / level.square().mean().sqrt()
