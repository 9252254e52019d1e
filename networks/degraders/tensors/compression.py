"""Compression on tensors; see networks.degraders.compression. WebP goes through the CPU."""

from torch import Tensor

from networks.degraders.compression import CompressionPlan
from networks.degraders.tensors import operators as ops
from networks.degraders.tensors.jpeg import jpeg, webp
from networks.degraders.tensors.normals import Normals


def render(image: Tensor, plan: CompressionPlan, normals: Normals) -> Tensor:
    """(3, h, w) in 0..1 of 8 bits, encoded and decoded again."""
    height, width = image.shape[-2:]
    current = ops.rounded(ops.resize(image, *plan.small, "area"))
    for turn in plan.encodings:
        dy, dx = turn.offset
        moved = ops.mirror(current, dy, 0, dx, 0)
        coded = webp(moved, turn.quality) if turn.webp else jpeg(moved, turn.quality, turn.chroma)
        current = coded[:, dy:, dx:]
    return ops.rounded(ops.resize(current, height, width, plan.up))
