"""Densities of the time t of a training sample, by name."""

import math
from typing import Literal

import numpy as np


def shifted(u: float, shift: float) -> float:
    """Time shift s u / (1 + (s - 1) u) of Stable Diffusion 3 (arXiv 2403.03206, equation 23)."""
    return shift * u / (1 + (shift - 1) * u)


def draw(
    name: Literal["uniform", "logit-normal", "shifted", "one"],
    shift: float,
    rng: np.random.Generator,
) -> float:
    """One t in 0..1. logit-normal: sigmoid of a standard normal (arXiv 2403.03206, section 3.1)."""
    if name == "one":
        return 1.0
    if name == "logit-normal":
        return 1 / (1 + math.exp(-float(rng.standard_normal())))
    u = float(rng.random())
    return shifted(u, shift) if name == "shifted" else u
