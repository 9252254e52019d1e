"""The web-style chain on tensors; see networks.degraders.web_style."""

from collections.abc import Sequence

import cv2
import torch
from torch import Tensor

from networks.degraders.tensors import operators as ops
from networks.degraders.tensors.jpeg import jpeg
from networks.degraders.tensors.normals import Normals
from networks.degraders.web_style import Round, poisson_spread


def render(image: Tensor, plan: Sequence[Round], normals: Normals) -> Tensor:
    """(3, h, w) in 0..1 of 8 bits, after all rounds."""
    current = image
    for turn in plan:
        current = _round(current, turn, normals)
    height, width = image.shape[-2:]
    return ops.rounded(ops.resize(current, height, width, "cubic"))


def _round(image: Tensor, turn: Round, normals: Normals) -> Tensor:
    if isinstance(turn.blur, tuple):
        side, across, down = turn.blur
        current = ops.convolve(image, cv2.getGaussianKernel(side, across, cv2.CV_32F).T)
        current = ops.convolve(current, cv2.getGaussianKernel(side, down, cv2.CV_32F))
    else:
        current = ops.convolve(image, turn.blur)
    current = ops.rounded(ops.resize(ops.rounded(current), *turn.small, turn.scaler))
    grain = normals(3, *turn.small, turn.seed)
    if turn.poisson:
        spread = torch.from_numpy(poisson_spread(turn.noise)).to(image.device)
        grain = grain * spread[(current * 255).long()]
    else:
        grain = grain * turn.noise
    return jpeg(ops.rounded(current + grain / 255), turn.quality)
