"""Where and in which precision a network runs."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from catalog.settings.training import Stage


@dataclass(frozen=True)
class Precision:
    """A device, and whether products are bf16."""

    device: torch.device
    bf16: bool

    @classmethod
    def of(cls, stage: Stage) -> "Precision":
        """A GPU where there is one; bf16 by the stage's setting."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        bf16 = stage.precision == "bf16" or (stage.precision == "auto" and device.type == "cuda")
        return cls(device, bf16)

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 matrix products where `bf16`, else nothing.

        Without PyTorch's cache of cast weights: it keeps a bf16 copy of every fp32 weight until the
        forward pass ends, sharded and recomputed ones too, and no weight is used twice in one.
        """
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False
        )
