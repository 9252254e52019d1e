"""Qwen2.5-VL as the text encoder: degraded image and instruction to 640 hidden states."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from catalog.errors import UserError
from catalog.images import Rgb
from networks.step1x.prompt import messages, token_ids
from networks.step1x.text import trim_and_pad

CELL = 28
"""Pixels of an image token's side."""
FEWEST, MOST = 256 * CELL**2, 324 * CELL**2
"""Area of the image as the encoder sees it, pixels."""


def whole_cells(width: int, height: int) -> tuple[int, int]:
    """The nearest size in multiples of 28, within 4 to 16,384 cells: a first resize, as released.

    The processor resizes once more to `FEWEST` .. `MOST`.
    """
    columns, rows = max(1, round(width / CELL)), max(1, round(height / CELL))
    if rows * columns > 16_384:
        scale = math.sqrt(width * height / (16_384 * CELL**2))
        columns = max(1, math.floor(width / scale / CELL))
        rows = max(1, math.floor(height / scale / CELL))
    elif rows * columns < 4:
        scale = math.sqrt(4 * CELL**2 / (width * height))
        columns = math.ceil(width * scale / CELL)
        rows = math.ceil(height * scale / CELL)
    return columns * CELL, rows * CELL


class TextEncoder(nn.Module):
    """Hidden states of the last layer (after its norm), the template cut, padded to 640."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        # The inner model: the vocabulary's projection is not needed.
        self.model = model.model.requires_grad_(False).eval()
        self.processor = processor
        processor.image_processor.size = {"shortest_edge": FEWEST, "longest_edge": MOST}
        tokenizer = processor.tokenizer
        self._image_end = tokenizer.convert_tokens_to_ids("<|vision_end|>")
        self._image_token = tokenizer.convert_tokens_to_ids("<|image_pad|>")

    @classmethod
    def from_folders(cls, weights: Path, processor: Path, dtype: torch.dtype) -> "TextEncoder":
        """Read a Qwen2.5-VL checkpoint (safetensors only) and its processor. Raises `UserError`."""
        from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

        if not list(weights.glob("*.safetensors")):
            raise UserError(
                f"{weights} holds no *.safetensors of a text encoder.",
                "Put Qwen2.5-VL-7B-Instruct there, in safetensors.",
            )
        try:
            model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
                weights, dtype=dtype, local_files_only=True, use_safetensors=True
            )
            reader = AutoProcessor.from_pretrained(processor, local_files_only=True)
        except (OSError, ValueError) as error:
            raise UserError(
                f"The text encoder in {weights} cannot be read: {error}.",
                "Download Qwen2.5-VL-7B-Instruct and its processor again.",
            ) from error
        return cls(model, reader)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def prepare(self, image: Rgb, instruction: str) -> dict[str, Tensor]:
        """What the network reads, on the CPU, for (h, w, 3) uint8 and an instruction ("": none)."""
        text = self.processor.apply_chat_template(
            messages(instruction), tokenize=False, add_generation_prompt=True, add_vision_id=True
        )
        picture = Image.fromarray(image)
        picture = picture.resize(whole_cells(*picture.size), Image.Resampling.BICUBIC)
        found = self.processor(text=[text], images=[picture], return_tensors="pt")
        # Up to the end of the image as the processor has it (one id a cell of the image), after
        # it with quoted characters apart.
        read = found["input_ids"][0].tolist()
        own = token_ids(text, lambda part: self.processor.tokenizer(part)["input_ids"])
        ids = torch.tensor(
            [read[: read.index(self._image_end)] + own[own.index(self._image_end) :]]
        )
        return {
            "input_ids": ids,
            # As released: id 0, an exclamation mark, is not attended to.
            "attention_mask": (ids > 0).long(),
            # Without it transformers places image tokens in a row instead of in a grid.
            "mm_token_type_ids": (ids == self._image_token).int(),
            "pixel_values": found["pixel_values"],
            "image_grid_thw": found["image_grid_thw"],
        }

    @torch.no_grad()
    def forward(self, images: Sequence[Rgb], instructions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """States (batch, 640, width) in the encoder's type and mask (batch, 640) bool."""
        states, masks = [], []
        for image, instruction in zip(images, instructions, strict=True):
            inputs = {k: v.to(self.device) for k, v in self.prepare(image, instruction).items()}
            inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
            hidden = self.model(**inputs, use_cache=False).last_hidden_state[0]
            one, mask = trim_and_pad(hidden)
            states.append(one)
            masks.append(mask)
        return torch.stack(states), torch.stack(masks)
