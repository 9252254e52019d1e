"""An editing model as a Restorer: any size, in batches, in tiles where asked."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from catalog.degradations import WORDING, Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from networks.editing.attention import kernels
from networks.editing.base import Editor
from networks.editing.sampling import restore
from networks.editing.sizes import working_size
from networks.interfaces import Identity
from networks.student.patches import to_image, to_tensor
from networks.tiling import in_tiles


@dataclass(frozen=True)
class Options:
    """How an editing model restores; the defaults are those of the published evaluation."""

    steps: int = 28
    guidance: float = 3.0
    side: int = 1024
    """Images are resized to about side x side pixels and back, or cut into tiles of that side."""
    tiles: bool = False
    """Whether images of more pixels than that are restored in tiles, at their own size."""
    overlap: int = 64
    batch: int = 1
    seed: int = 0
    offload: bool = False
    """Whether encoders wait in the host's memory until they are needed; set when it is loaded."""


class EditingRestorer:
    """Restores with an `Editor`.

    Noise depends on the seed and the size alone, so the same image gives the same result in any
    batch, up to rounding.
    """

    def __init__(self, editor: Editor, identity: Identity, options: Options | None = None) -> None:
        self.editor, self.identity = editor, identity
        self.options = options or Options()

    def supports(self, degradation: Degradation) -> bool:
        """True: the instruction says what to do."""
        return True

    def restore(self, images: Sequence[Rgb], degradation: Degradation) -> list[Rgb]:
        """Restored images, each of its input's size. Raises `UserError` when memory runs out."""
        instruction = WORDING[Degradation(degradation)].instruction_en
        return self.edit(images, instruction)

    def edit(self, images: Sequence[Rgb], instruction: str) -> list[Rgb]:
        """The same with an instruction of one's own."""
        results: list[Rgb] = list(images)
        waiting: dict[tuple[int, int], list[int]] = defaultdict(list)
        work: dict[int, Rgb] = {}
        for index, image in enumerate(images):
            height, width = image.shape[:2]
            if self.options.tiles and height * width > self.options.side**2:
                results[index] = self._in_tiles(image, instruction)
                continue
            size = working_size(width, height, self.options.side, self.editor.multiple)
            work[index] = _resized(image, size)
            waiting[size].append(index)
        for indices in waiting.values():
            for first in range(0, len(indices), self.options.batch):
                part = indices[first : first + self.options.batch]
                pixels = self._run(torch.stack([to_tensor(work[i]) for i in part]), instruction)
                for i, one in zip(part, pixels, strict=True):
                    height, width = images[i].shape[:2]
                    results[i] = _resized(to_image(one), (width, height))
        return results

    def _run(self, pixels: Tensor, instruction: str) -> Tensor:
        editor, options = self.editor, self.options
        height, width = pixels.shape[-2:]
        generator = torch.Generator().manual_seed(options.seed)
        noise = torch.randn(1, *editor.latent_shape(height, width), generator=generator)
        try:
            with kernels("flash", editor.device):
                restored = restore(
                    editor,
                    pixels,
                    [instruction] * len(pixels),
                    noise.expand(len(pixels), -1, -1),
                    options.steps,
                    options.guidance,
                )
        except torch.OutOfMemoryError as error:
            advice = (
                f"Set batch to {options.batch // 2}."
                if options.batch > 1
                else f"Set side to {options.side * 3 // 4 // 16 * 16}, or tiles to true with it."
            )
            raise UserError(
                f"The device has too little memory for {len(pixels)} images of {width} x {height}.",
                advice,
            ) from error
        return restored.float().cpu()

    def _in_tiles(self, image: Rgb, instruction: str) -> Rgb:
        """At its own size, in overlapping squares that are blended linearly."""
        options, multiple = self.options, self.editor.multiple
        height, width = image.shape[:2]
        below, right = -height % multiple, -width % multiple
        padded = to_tensor(np.pad(image, ((0, below), (0, right), (0, 0)), "edge"))
        blended = in_tiles(
            padded,
            options.side // multiple * multiple,
            options.overlap,
            lambda tiles: self._run(tiles, instruction),
            options.batch,
        )
        return to_image(blended[:, :height, :width])


def _resized(image: Rgb, size: tuple[int, int]) -> Rgb:
    """To (width, height) by Lanczos."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
