"""Qwen3-VL of any size, through transformers."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError

from catalog.errors import UserError
from networks.interfaces import Identity
from networks.judges.vlm.asking import AskingJudge, Reply
from networks.judges.vlm.cache import AnswerCache
from networks.judges.vlm.prompts import SYSTEM, prompt_hash
from networks.judges.vlm.protocol import MAX_NEW_TOKENS

KINDS = ("*.safetensors", "*.json", "*.jinja", "*.txt")
"""Files of a checkpoint that say what it answers."""


class Qwen3VlJudge(AskingJudge):
    """Greedy decoding in batches; bfloat16 on a GPU, float32 on a CPU. Only safetensors load."""

    def __init__(
        self,
        folder: Path,
        prompt: str = "released",
        cache: AnswerCache | None = None,
        batch_size: int = 8,
        device: str | None = None,
    ) -> None:
        super().__init__(prompt, cache)
        weights = sorted(folder.glob("*.safetensors"))
        if not weights or not (folder / "config.json").is_file():
            raise UserError(
                f"The folder {folder} is no Qwen3-VL model: it has no config.json with "
                "*.safetensors.",
                "Name the folder of a downloaded checkpoint, such as Qwen3-VL-8B-Instruct.",
            )
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.batch_size = batch_size
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        kind = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        try:
            self.processor: Any = AutoProcessor.from_pretrained(folder, local_files_only=True)
            model: Any = AutoModelForImageTextToText.from_pretrained(
                folder, dtype=kind, local_files_only=True, use_safetensors=True
            )
        except (ValueError, OSError, RuntimeError, SafetensorError) as error:
            raise UserError(
                f"The model in {folder} cannot be loaded: {error}.",
                "See that its files are whole and of one checkpoint.",
            ) from error
        # Answers of unequal prompts must all begin at the right edge of the batch.
        self.processor.tokenizer.padding_side = "left"
        self.model = model.to(self.device).eval()
        precision = str(kind).removeprefix("torch.")
        self.identity = Identity(
            "qwen3-vl", f"{folder.resolve().name}-{precision}", _digest(folder), prompt_hash(prompt)
        )

    def ask(self, images: Sequence[Image.Image], text: str) -> list[Reply]:
        """One reply an image."""
        replies: list[Reply] = []
        for start in range(0, len(images), self.batch_size):
            replies += self._ask(images[start : start + self.batch_size], text)
        return replies

    def _ask(self, images: Sequence[Image.Image], text: str) -> list[Reply]:
        content = [{"type": "image"}, {"type": "text", "text": text}]
        messages = [
            {"role": "system", "content": [{"type": "text", "text": SYSTEM}]},
            {"role": "user", "content": content},
        ]
        asked = self.processor.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        inputs = self.processor(
            text=[asked] * len(images), images=list(images), padding=True, return_tensors="pt"
        ).to(self.device)
        with torch.inference_mode():
            output = self.model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        answers = self.processor.batch_decode(
            output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
        return [Reply(answer) for answer in answers]


def _digest(folder: Path) -> str:
    """SHA-256 over all that the answers hang on: weights, sizes, tokenizer, template, image sides.

    Names and contents, in the order of the names.
    """
    digest = hashlib.sha256()
    for file in sorted(file for kind in KINDS for file in folder.glob(kind)):
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()
