"""Large editing models in the loop: encoders, cached where nothing random touches their input."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from catalog.degradations import WORDING
from catalog.errors import UserError
from catalog.settings.training import Stage
from networks.editing import lora
from networks.editing.base import Condition, Editor
from networks.editing.restorer import EditingRestorer, Options
from networks.editing.sampling import both, restore
from networks.interfaces import Identity, Restorer
from networks.student.model import INSTRUCTIONS, NO_INSTRUCTION
from training.batches import Batch
from training.encoded import EncodedCache
from training.trainable import Trainable


def instruction_of(row: int) -> str:
    """The words of a row of the instruction embedding; none for `NO_INSTRUCTION`."""
    return "" if row == NO_INSTRUCTION else WORDING[INSTRUCTIONS[row]].instruction_en


class EditorTrainable(Trainable):
    """An `Editor`: rectified flow on its latents, given its text encoders' answer."""

    even = True

    def __init__(
        self,
        editor: Editor,
        weights_hash: str,
        lora_rank: int = 0,
        cache: EncodedCache | None = None,
        crops: bool = False,
    ) -> None:
        """`crops`: whether clean sides are cut at random in training, and hardly come again."""
        self.crops = crops
        self.editor, self.hash, self.lora = editor, weights_hash, bool(lora_rank)
        self.module = editor.network
        self.passes = 2.0 if lora_rank else 3.0
        self.cache = cache or EncodedCache(None, 0)
        # Three hashes a sample take 0.04 s at 1024 x 1024, 4 % of a large GPU's step.
        self._stores = self.cache.folder is not None
        self._encoders = editor.encoder_hash() if self._stores else ""
        if self._stores:
            self.cache.only(self._encoders)

    def to(self, device: torch.device) -> None:
        """Move the editor as its settings say."""
        self.editor.to(device)

    def noise_shape(self, height: int, width: int) -> tuple[int, ...]:
        """Of packed latents."""
        return self.editor.latent_shape(height, width)

    @torch.no_grad()
    def _latents(self, images: Tensor, stable: Sequence[bool]) -> Tensor:
        """Latents of each image; cached where `stable`."""
        found = [self._latent(image, keep) for image, keep in zip(images, stable, strict=True)]
        return torch.stack([one.to(images.device) for one in found])

    def _latent(self, image: Tensor, cached: bool) -> Tensor:
        key = ("latents", self._encoders, image_hash(image)) if cached and self._stores else None
        return self.cache.get(key, lambda: {"latents": self.editor.encode(image[None])[0]})[
            "latents"
        ]

    @torch.no_grad()
    def _conditions(self, batch: Batch) -> Condition:
        joined: Condition = {}
        for image, row, styled in zip(
            batch.degraded, batch.instruction.tolist(), batch.styled.tolist(), strict=True
        ):
            one = self._condition(image, instruction_of(row), cached=not styled)
            joined = both(joined, one) if joined else one
        return joined

    def _condition(self, image: Tensor, words: str, cached: bool) -> Condition:
        def make() -> Condition:
            found = self.editor.condition(image[None], [words])
            return {name: value[0] for name, value in found.items()}

        stored = cached and self._stores
        key = ("text", self._encoders, image_hash(image), words) if stored else None
        return {
            name: value[None].to(image.device) for name, value in self.cache.get(key, make).items()
        }

    def losses(self, batch: Batch, kind: Literal["velocity", "psnr"]) -> Tensor:
        """Mean squared error of eps - x0 over a sample's latents. Raises `UserError` for psnr."""
        if kind == "psnr":
            raise UserError(
                "loss: psnr is measured on pixels, which an editing model's network does not have.",
                "Set loss to velocity.",
            )
        plain = [not styled for styled in batch.styled.tolist()]
        reference = self._latents(batch.degraded, plain)
        x0 = self._latents(batch.clean, [same or not self.crops for same in plain])
        given = self._conditions(batch)
        t = batch.t[:, None, None]
        noisy = (1 - t) * x0 + t * batch.noise
        size = (batch.clean.shape[-2], batch.clean.shape[-1])
        velocity = self.editor.velocity(noisy, reference, size, batch.t, given)
        return (velocity.float() - (batch.noise - x0)).square().mean(dim=(1, 2))

    def restore(self, batch: Batch, steps: int) -> Tensor:
        """By the editor's own sampler and guidance."""
        words = [instruction_of(row) for row in batch.instruction.tolist()]
        return restore(self.editor, batch.degraded, words, batch.noise, steps or None)

    def restorer(self, stage: Stage) -> Restorer:
        """At about `crop` pixels a side, in `validation_steps` or the editor's own."""
        options = Options(
            steps=stage.validation_steps or self.editor.steps,
            guidance=self.editor.guidance,
            side=stage.crop,
            overlap=min(64, stage.crop // 2),
        )
        return EditingRestorer(self.editor, Identity("training", "0"), options)

    def kept(self, name: str) -> bool:
        """The adapters alone, where there are any."""
        return not self.lora or ".lora_" in name

    def kinds(self) -> Mapping[str, torch.dtype]:
        """Those of the file that was read; adapters are written in float32."""
        return {} if self.lora else self.editor.stored

    def save(self, folder: Path, weights: dict[str, Tensor]) -> None:
        """Adapters alone, or the whole model in the layout it was read from."""
        if self.lora:
            lora.save_adapter(self.editor, folder, weights, self.hash)
        else:
            self.editor.save(folder, weights)

    def flops(self, height: int, width: int) -> float:
        """Of the network alone."""
        return self.editor.flops(height, width)

    def tokens(self, height: int, width: int) -> int:
        """Of text, target and reference."""
        return self.editor.tokens(height, width)


def image_hash(pixels: Tensor) -> str:
    """SHA-256 of an image's shape and values, whatever row of whatever dataset it came from."""
    values = pixels.detach().cpu().contiguous()
    digest = hashlib.sha256(repr((tuple(values.shape), values.dtype)).encode())
    digest.update(values.numpy().tobytes())
    return digest.hexdigest()
