"""The loss of each sample of a batch."""

from typing import Literal

import torch
from torch import Tensor

from networks.student import flow
from networks.student.model import StudentDiT
from training.batches import Batch

_FLOOR = 1e-5
"""Of the squared error inside the logarithm; 56 dB in 0..1 scale."""

_LEAST_DIVISOR = 0.05
"""Of the error of a clean image in the velocity loss. The sampler divides by less."""


def losses(model: StudentDiT, batch: Batch, kind: Literal["velocity", "psnr"]) -> Tensor:
    """(batch,) float32.

    velocity: mean squared error of eps - x0. A network that puts out the clean image implies that
    velocity as (x_t - x0) / t; prediction and target are then both divided by max(t, 0.05) (JiT,
    arXiv 2511.13720, whose time runs the other way), else the smallest t would outweigh all others.

    psnr: log of the mean squared error of the implied clean image (on -1..1) plus a floor, which is
    the PSNR in units of -10 / ln(10) dB up to a constant, so that tasks with large and small errors
    weigh alike.
    """
    x_t = flow.noisy(batch.clean, batch.noise, batch.t)
    prediction = model(x_t, batch.degraded, batch.t, batch.instruction)
    puts_out = model.architecture.prediction
    if kind == "velocity" and puts_out == "velocity":
        error = prediction - (batch.noise - batch.clean)
        return error.square().mean(dim=(1, 2, 3))
    error = flow.clean_estimate(prediction, puts_out, x_t, batch.degraded, batch.t) - batch.clean
    if kind == "velocity":
        error = error / flow.broadcast(batch.t).clamp(min=_LEAST_DIVISOR)
        return error.square().mean(dim=(1, 2, 3))
    return torch.log(error.square().mean(dim=(1, 2, 3)) + _FLOOR)
