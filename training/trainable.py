"""What the loop asks of a network, whatever it is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from catalog.settings.training import Stage
from networks.interfaces import Identity, Restorer
from training.batches import Batch


class Trainable(ABC):
    """A network with its loss, its sampler and its file format."""

    module: nn.Module
    """All parameters that may learn; lists named *blocks are wrapped block by block."""
    passes = 3.0
    """Work of a training step in forward passes; 2 where the weights themselves do not learn."""

    even = False
    """Whether a restorer runs the network as often for one image as for another of any size."""

    @abstractmethod
    def to(self, device: torch.device) -> None:
        """Move everything to where the training runs."""

    @abstractmethod
    def noise_shape(self, height: int, width: int) -> tuple[int, ...]:
        """Of the noise of one sample of height x width pixels."""

    @abstractmethod
    def losses(self, batch: Batch, kind: Literal["velocity", "psnr"]) -> Tensor:
        """(batch,) float32, with gradients."""

    @abstractmethod
    def restore(self, batch: Batch, steps: int) -> Tensor:
        """The degraded images restored from the batch's noise: (batch, 3, h, w) in about -1..1.

        `steps`: of the sampler, 0 for the model's own.
        """

    @abstractmethod
    def restorer(self, stage: Stage) -> Restorer:
        """The model as it is now, as a finished one would restore images of any size."""

    def kept(self, name: str) -> bool:
        """Whether the weight called `name` is part of what is saved."""
        return True

    def kinds(self) -> Mapping[str, torch.dtype]:
        """Types in which weights are written, by name, where they differ from those in memory."""
        return {}

    @abstractmethod
    def save(self, folder: Path, weights: dict[str, Tensor]) -> None:
        """Write the model with `weights` (of `module`, unsharded) into an existing folder."""

    @abstractmethod
    def flops(self, height: int, width: int) -> float:
        """Of a forward pass of one sample."""

    @abstractmethod
    def tokens(self, height: int, width: int) -> int:
        """Of one sample's sequence."""


class StudentTrainable(Trainable):
    """The small student; pixels are its latents."""

    def __init__(self, model: Any) -> None:
        self.module = self.model = model

    def to(self, device: torch.device) -> None:
        """Move the model."""
        self.model.to(device)

    def noise_shape(self, height: int, width: int) -> tuple[int, ...]:
        """Of an image."""
        return 3, height, width

    def losses(self, batch: Batch, kind: Literal["velocity", "psnr"]) -> Tensor:
        """See training.objective."""
        from training.objective import losses

        return losses(self.model, batch, kind)

    def restore(self, batch: Batch, steps: int) -> Tensor:
        """By Euler steps."""
        from networks.student import flow

        own = steps or self.model.architecture.sampling_steps
        return flow.sample(self.model, batch.degraded, batch.instruction, batch.noise, own)

    def restorer(self, stage: Stage) -> Restorer:
        """In its own tiles and steps."""
        from networks.student.restorer import StudentRestorer

        device = next(self.model.parameters()).device
        return StudentRestorer(self.model, Identity("training", "0"), device)

    def save(self, folder: Path, weights: dict[str, Tensor]) -> None:
        """config.json and model.safetensors."""
        from networks.student.files import save_student

        save_student(self.model, folder, weights)

    def flops(self, height: int, width: int) -> float:
        """Of the network's products."""
        return self.model.flops(height, width)

    def tokens(self, height: int, width: int) -> int:
        """Of the instruction and the patches."""
        a = self.model.architecture
        image = -(-height // a.patch) * -(-width // a.patch)
        return a.instruction_tokens + image * (2 if a.reference == "in-context" else 1)
