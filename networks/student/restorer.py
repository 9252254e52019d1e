"""The student as a Restorer: any image size, deterministic."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from networks.interfaces import Identity
from networks.student import flow
from networks.student.files import read_student, student_identity
from networks.student.model import INSTRUCTIONS, StudentDiT
from networks.student.patches import to_image, to_tensor
from networks.tiling import in_tiles, levelled

_SEED = 0

LEVELLED = frozenset({Degradation.LOW_LIGHT})
"""Where the whole image at a small size says how bright its tiles come out.

A tile of a dark wall says nothing of the light of the room, so dark parts come out blotched. It is
for the eye: -0.4 dB at 481 x 321, +0.3 at 2.5 times that. Of a veil a tile says more than the
whole: haze and flare would lose 1 to 2 dB.
"""


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
    def from_folder(cls, folder: Path, device: str | None = None) -> "StudentRestorer":
        """Read config.json and model.safetensors. Raises `UserError`."""
        return cls(read_student(folder), student_identity(folder), device)

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

        def run(tiles: Tensor) -> Tensor:
            return self._run(tiles[0], degradation)[None]

        try:
            padded = _pad(pixels, architecture.patch)
            restored = in_tiles(padded, architecture.tile, architecture.overlap, run)
            restored = restored[:, :height, :width]
            if degradation in LEVELLED and max(height, width) > architecture.tile:
                small = _fitted(pixels, architecture.tile)
                whole = self._run(_pad(small, architecture.patch), degradation)
                whole = whole[:, : small.shape[-2], : small.shape[-1]]
                restored = levelled(restored, whole, architecture.tile)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"The device has too little memory for tiles of {architecture.tile} pixels.",
                'Set "tile" in the model\'s config.json to half of that.',
            ) from error
        return to_image(restored)

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


def _fitted(pixels: Tensor, side: int) -> Tensor:
    """(3, h, w) scaled down to a longer side of at most `side`."""
    share = side / max(pixels.shape[-2:])
    size = [max(1, round(n * share)) for n in pixels.shape[-2:]]
    return functional.interpolate(pixels[None], size, mode="area")[0]


def _pad(pixels: Tensor, patch: int) -> Tensor:
    """Pad (3, h, w) on the right and below to multiples of `patch`, by reflection where it fits."""
    height, width = pixels.shape[-2:]
    below, right = -height % patch, -width % patch
    mode = "reflect" if below < height and right < width else "replicate"
    return functional.pad(pixels[None], (0, right, 0, below), mode=mode)[0]
