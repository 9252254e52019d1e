"""Rectified flow: x_t = (1 - t) x0 + t eps, velocity = eps - x0 (arXiv 2209.03003)."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from networks.student.model import StudentDiT

SMALLEST_T = 1e-3
"""By which a predicted clean image is divided at least where the velocity it implies is sampled."""


def broadcast(t: Tensor) -> Tensor:
    """(batch,) to (batch, 1, 1, 1)."""
    return t[:, None, None, None]


def noisy(clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """The point at time t on the straight way from `clean` (0) to `noise` (1)."""
    time = broadcast(t)
    return (1 - time) * clean + time * noise


def clean_estimate(
    prediction: Tensor,
    kind: Literal["velocity", "residual"],
    x_t: Tensor,
    reference: Tensor,
    t: Tensor,
) -> Tensor:
    """The clean image that the network's prediction at time t implies."""
    return reference + prediction if kind == "residual" else x_t - broadcast(t) * prediction


def velocity_estimate(
    prediction: Tensor,
    kind: Literal["velocity", "residual"],
    x_t: Tensor,
    reference: Tensor,
    t: Tensor,
) -> Tensor:
    """The velocity eps - x0 that the network's prediction at time t implies."""
    if kind == "velocity":
        return prediction
    return (x_t - reference - prediction) / broadcast(t).clamp(min=SMALLEST_T)


@torch.no_grad()
def sample(
    model: StudentDiT, reference: Tensor, instruction: Tensor, noise: Tensor, steps: int
) -> Tensor:
    """Restore by `steps` Euler steps from t = 1 to 0; no randomness beyond the given noise.

    reference, noise: (batch, 3, h, w), h and w multiples of the patch; instruction: (batch,).
    Returns (batch, 3, h, w) in about -1..1.
    """
    kind = model.architecture.prediction
    x_t = noise
    times = torch.linspace(1, 0, steps + 1, device=noise.device)
    for now, after in pairwise(times):
        t = now.expand(len(noise))
        prediction = model(x_t, reference, t, instruction)
        if after == 0:
            return clean_estimate(prediction, kind, x_t, reference, t)
        x_t = x_t + (after - now) * velocity_estimate(prediction, kind, x_t, reference, t)
    raise AssertionError("steps is at least 1")
