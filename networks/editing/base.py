"""What the trainer and the Restorer ask of a large editing model."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from catalog.digests import file_digest
from networks.editing.content import code_hash, content_hash
from networks.student.patches import to_image

_NO_ENCODER = ("transformer", "scheduler")

Condition = dict[str, Tensor]
"""What the text encoders say about a batch: tensors with the batch as their first axis."""


def pack(latents: Tensor) -> Tensor:
    """(batch, c, h, w) to (batch, h/2 * w/2, 4 c); channel first, then row and column of 2 x 2."""
    batch, channels, height, width = latents.shape
    grid = latents.reshape(batch, channels, height // 2, 2, width // 2, 2)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, 4 * channels)


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `pack`; `height` and `width` of the latents."""
    batch, _, size = tokens.shape
    grid = tokens.reshape(batch, height // 2, width // 2, size // 4, 2, 2)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(batch, size // 4, height, width)


class Editor(ABC):
    """A frozen autoencoder, frozen text encoders, and the network between them.

    Sizes of images are multiples of `multiple` pixels. Latents are the autoencoder's, normalised as
    the network was trained on them, and packed: (batch, tokens, channels).
    """

    name: str
    """Of the family, such as step1x."""
    network: nn.Module
    """What learns; its block lists are checkpointed, compiled and sharded block by block."""
    multiple = 16
    channels: int
    """Of the unpacked latents."""
    steps = 28
    guidance = 3.0
    folder: Path | None = None
    """Where the weights came from."""
    stored: Mapping[str, torch.dtype] = MappingProxyType({})
    """Types of the network's weights in their file, by name in the network."""

    def __init__(self, device: torch.device | str = "cpu", offload: bool = False) -> None:
        self.device = torch.device(device)
        self.offload = offload
        """Whether frozen parts wait in the host's memory, and come to the device when needed."""

    @abstractmethod
    def frozen(self) -> dict[str, nn.Module]:
        """The parts that never learn, by name."""

    def to(self, device: torch.device | str) -> "Editor":
        """Move all parts, or all but the frozen ones when these are offloaded."""
        self.device = torch.device(device)
        self.network.to(self.device)
        for part in self.frozen().values():
            part.to("cpu" if self.offload else self.device)
        return self

    @contextmanager
    def at_hand(self, part: Any) -> Iterator[Any]:
        """A frozen part on the device; an offloaded one as a copy, which is dropped afterwards."""
        if not self.offload:
            yield part
            return
        places = [
            (held, name, value)
            for module in part.modules()
            for held in (module._parameters, module._buffers)
            for name, value in held.items()
            if value is not None
        ]
        copies: dict[int, Tensor] = {}  # one of each, where modules share a weight
        try:
            for held, name, value in places:
                if id(value) not in copies:
                    copy = value.detach().to(self.device)
                    weight = isinstance(value, nn.Parameter)
                    copies[id(value)] = nn.Parameter(copy, False) if weight else copy
                held[name] = copies[id(value)]
            yield part
        finally:
            for held, name, value in places:
                held[name] = value

    @abstractmethod
    def encode(self, pixels: Tensor) -> Tensor:
        """Packed latents (the mean of the posterior) of (batch, 3, h, w) in -1..1, float32."""

    @abstractmethod
    def decode(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """(batch, 3, height, width) in about -1..1 from packed latents."""

    @abstractmethod
    def condition(self, pixels: Tensor, instructions: Sequence[str]) -> Condition:
        """The text encoders' answer to degraded images and instructions ("" for none).

        In their own type, whatever the autocast around, so that a training sees what a finished
        model's restoration will.
        """

    @abstractmethod
    def velocity(
        self, noisy: Tensor, reference: Tensor, size: tuple[int, int], t: Tensor, given: Condition
    ) -> Tensor:
        """eps - x0 as the network predicts it, packed; `size` (height, width) in pixels."""

    @abstractmethod
    def guide(self, conditional: Tensor, unconditional: Tensor, t: float, scale: float) -> Tensor:
        """The guided velocity."""

    @abstractmethod
    def times(self, steps: int, tokens: int) -> Tensor:
        """(steps + 1,) times of the sampler from 1 to 0."""

    @classmethod
    @abstractmethod
    def sketch(cls, folder: Path | None, dtype: torch.dtype) -> "Editor":
        """Shapes alone, on PyTorch's meta device: the network, no encoders.

        Of the model in `folder`, or of the released sizes. Such an editor answers `velocity`,
        `flops`, `tokens`, `latent_shape` and `blank`.
        """

    @abstractmethod
    def blank(self, height: int, width: int) -> Condition:
        """Zeros in the place of what `condition` says about one image, on the network's device."""

    encoder_gib: float = 0.0
    """About what the frozen parts take in bf16."""

    @abstractmethod
    def flops(self, height: int, width: int) -> float:
        """Floating-point operations of one forward pass of the network for one image."""

    @abstractmethod
    def tokens(self, height: int, width: int) -> int:
        """Tokens of one image's sequence: text, target and reference."""

    @abstractmethod
    def save(self, folder: Path, state: dict[str, Tensor] | None = None) -> None:
        """Write the whole model into an existing folder, in the layout it was read from.

        `state` stands in for the network's own weights.
        """

    @abstractmethod
    def parts(self) -> dict[str, tuple[Path, ...]]:
        """Files and folders that were read, by part; those of the network are `transformer`."""

    @abstractmethod
    def weight_files(self) -> tuple[Path, ...]:
        """Of the network."""

    def weights_hash(self) -> str:
        """SHA-256 over the network's weights as they were read: what adapters belong to."""
        digest = hashlib.sha256()
        for path in self.weight_files():
            digest.update(bytes.fromhex(file_digest(path)))
        return digest.hexdigest()

    def identity_hash(self) -> str:
        """SHA-256 over all files that decide what the model puts out."""
        return content_hash(self.parts())

    def encoder_hash(self) -> str:
        """SHA-256 over all that the frozen parts' answers hang on.

        Their files (weights, configurations, tokenizers, templates), the types they compute in,
        and the code that asks them.
        """
        parts = {name: place for name, place in self.parts().items() if name not in _NO_ENCODER}
        digest = hashlib.sha256(f"{self.name} {content_hash(parts)} {code_hash()}\n".encode())
        for part, module in sorted(self.frozen().items()):
            kinds = sorted({str(value.dtype) for value in module.state_dict().values()})
            digest.update(f"{part} {' '.join(kinds)}\n".encode())
        return digest.hexdigest()

    def latent_shape(self, height: int, width: int) -> tuple[int, int]:
        """(tokens, channels) of packed latents of one image."""
        return height * width // self.multiple**2, 4 * self.channels


def encoder_type(device: torch.device | str) -> torch.dtype:
    """Of text encoders: bf16 on a GPU, as released; float32 on a CPU."""
    return torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32


def images_of(pixels: Tensor) -> list[Any]:
    """A batch in -1..1 as (h, w, 3) uint8 images."""
    return [to_image(one) for one in pixels]


def transformer_flops(
    width: int, blocks: int, tokens: int, mlp_ratio: float = 4.0, double_tokens: int = 0
) -> float:
    """Operations of `blocks` transformer blocks over `tokens` (2 a multiply-add)."""
    linear = (4 + 2 * mlp_ratio) * width * width
    return 2.0 * tokens * blocks * (linear + 2 * tokens * width) + double_tokens
