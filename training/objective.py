"""The loss of each sample of a batch."""

from typing import Literal

import torch
from torch import Tensor

from networks.student import flow
from networks.student.model import StudentDiT
from training.batches import Batch

_FLOOR = 1e-5
"""Of the squared error inside the logarithm; 56 dB in 0..1 scale."""


def losses(model: StudentDiT, batch: Batch, kind: Literal["velocity", "psnr"]) -> Tensor:
    """(batch,) float32.

    velocity: mean squared error of eps - x0. psnr: log of the mean squared error of the implied
    clean image (on -1..1) plus a floor, which is the PSNR in units of -10 / ln(10) dB up to a
    constant, so that tasks with large and small errors weigh alike.
    """
    x_t = flow.noisy(batch.clean, batch.noise, batch.t)
    prediction = model(x_t, batch.degraded, batch.t, batch.instruction)
    implied = (prediction, model.architecture.prediction, x_t, batch.degraded, batch.t)
    if kind == "velocity":
        error = flow.velocity_estimate(*implied) - (batch.noise - batch.clean)
        return error.square().mean(dim=(1, 2, 3))
    error = flow.clean_estimate(*implied) - batch.clean
    return torch.log(error.square().mean(dim=(1, 2, 3)) + _FLOOR)
