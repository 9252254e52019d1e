"""The student as a Restorer: any image size, deterministic."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from networks.interfaces import Identity
from networks.student import flow
from networks.student.files import FORMAT, read_student, weights_hash
from networks.student.model import INSTRUCTIONS, StudentDiT
from networks.student.patches import to_image, to_tensor

_SEED = 0


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Offsets of tiles of side `tile` that cover `length`, neighbours sharing >= `overlap`."""
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def ramp(size: int, overlap: int) -> Tensor:
    """(size,) weights of a tile, rising over `overlap` pixels from both ends; never 0."""
    distance = torch.arange(size).float() + 1
    weight = torch.minimum(distance, distance.flip(0)) / (overlap + 1)
    return weight.clamp(max=1.0)


class StudentRestorer:
    """Restores with a `StudentDiT` by a few Euler steps, in tiles where an image is large.

    The noise of a tile depends on its size alone, so that the same image gives the same result in
    any batch.
    """

    def __init__(
        self, model: StudentDiT, identity: Identity, device: torch.device | str | None = None
    ) -> None:
        self.identity = identity
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.to(self.device).eval()

    @classmethod
    def from_folder(cls, folder: Path) -> "StudentRestorer":
        """Read config.json and model.safetensors. Raises `UserError`."""
        name, version = FORMAT.split("/")
        return cls(read_student(folder), Identity(name, version, weights_hash(folder)))

    def supports(self, degradation: Degradation) -> bool:
        """True: one model for all nine."""
        return True

    def restore(self, images: Sequence[Rgb], degradation: Degradation) -> list[Rgb]:
        """Restored images, each of its input's size. Raises `UserError` when memory runs out."""
        return [self._restore(image, Degradation(degradation)) for image in images]

    def _restore(self, image: Rgb, degradation: Degradation) -> Rgb:
        architecture = self.model.architecture
        pixels = to_tensor(image)
        height, width = pixels.shape[-2:]
        padded = _pad(pixels, architecture.patch)
        total = torch.zeros_like(padded)
        weights = torch.zeros_like(padded[:1])
        try:
            for top, left, tile in self._tiles(padded):
                restored = self._run(tile, degradation)
                h, w = tile.shape[-2:]
                weight = ramp(h, architecture.overlap)[:, None] * ramp(w, architecture.overlap)
                total[:, top : top + h, left : left + w] += restored * weight
                weights[:, top : top + h, left : left + w] += weight
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"The device has too little memory for tiles of {architecture.tile} pixels.",
                'Set "tile" in the model\'s config.json to half of that.',
            ) from error
        return to_image((total / weights)[:, :height, :width])

    def _tiles(self, pixels: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        a = self.model.architecture
        height, width = pixels.shape[-2:]
        for top in starts(height, a.tile, a.overlap):
            for left in starts(width, a.tile, a.overlap):
                yield top, left, pixels[:, top : top + a.tile, left : left + a.tile]

    def _run(self, tile: Tensor, degradation: Degradation) -> Tensor:
        generator = torch.Generator().manual_seed(_SEED)
        noise = torch.randn(tile.shape, generator=generator)
        instruction = torch.tensor([INSTRUCTIONS.index(degradation)], device=self.device)
        restored = flow.sample(
            self.model,
            tile[None].to(self.device),
            instruction,
            noise[None].to(self.device),
            self.model.architecture.sampling_steps,
        )
        return restored[0].cpu()


def _pad(pixels: Tensor, patch: int) -> Tensor:
    """Pad (3, h, w) on the right and below to multiples of `patch`, by reflection where it fits."""
    height, width = pixels.shape[-2:]
    below, right = -height % patch, -width % patch
    mode = "reflect" if below < height and right < width else "replicate"
    return functional.pad(pixels[None], (0, right, 0, below), mode=mode)[0]
