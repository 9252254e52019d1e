"""Settings of the evaluation and of the gate."""

from catalog.settings.base import Settings


class Evaluate(Settings):
    """How a model is scored."""

    judge: str = "proxy"
    consistency: str = "ms-ssim"


class Gate(Settings):
    """When a candidate may become champion."""
