"""Blur on tensors; see networks.degraders.blur."""

from torch import Tensor

from networks.degraders import blur
from networks.degraders.blur import BlurPlan, Disc, Kernel
from networks.degraders.tensors import operators as ops
from networks.degraders.tensors.normals import Normals


def render(image: Tensor, plan: BlurPlan, normals: Normals) -> Tensor:
    """(3, h, w) in 0..1 of 8 bits, blurred."""
    height, width = image.shape[-2:]
    light = ops.to_linear(image.amax(dim=0, keepdim=True))
    clipped = ((light - blur.CLIPPED) / (1 - blur.CLIPPED)).clamp(0, 1)
    linear = ops.to_linear(image) * (1 + (blur.HIGHLIGHT - 1) * clipped**2)
    blurred = _convolve(linear, plan.kernel)
    if plan.mask is not None:
        other = linear if plan.weaker is None else _convolve(linear, plan.weaker)
        mask = ops.field(plan.mask, height, width, image.device)
        mask = (blur.MASK[0] * mask + blur.MASK[1]).clamp(0, 1)
        blurred = other + (blurred - other) * mask
    encoded = ops.to_srgb(blurred)
    if not plan.noise:
        return encoded
    return ops.rounded(encoded + plan.noise / 255 * normals(3, height, width, plan.seed))


def _convolve(linear: Tensor, kernel: Kernel) -> Tensor:
    if isinstance(kernel, float):
        return ops.gaussian(linear, kernel)
    if not isinstance(kernel, Disc):
        return ops.convolve(linear, kernel)
    if not kernel.halved:
        return ops.convolve(linear, kernel.kernel())
    height, width = linear.shape[-2:]
    small = ops.resize(linear, -(-height // 2), -(-width // 2), "area")
    return ops.resize(ops.convolve(small, kernel.kernel()), height, width, "cubic")
