"""Everything of a training step but the network: files, decoding, autoencoder, the log's row."""

import json
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from catalog.images import decode
from networks.editing.base import pack
from networks.step1x.latents import normalise
from networks.student.patches import to_tensor
from training.batches import crop, prefetch

FULL = (128, 256, 512, 512)
"""Channels of FLUX's autoencoder."""


class Surroundings:
    """Feeds pairs of images from files, as latents, and writes a row a step."""

    def __init__(self, pixels: int, channels: int, debug: bool, device: torch.device) -> None:
        """`pixels`: side of an image; `channels`: of packed latents."""
        from diffusers import AutoencoderKL

        widths = (32, 32, 32, 32) if debug else FULL
        kinds: dict[str, Any] = {
            "down_block_types": ("DownEncoderBlock2D",) * 4,
            "up_block_types": ("UpDecoderBlock2D",) * 4,
        }
        torch.manual_seed(1)
        self.vae = AutoencoderKL(
            block_out_channels=widths,
            layers_per_block=1 if debug else 2,
            latent_channels=channels // 4,
            use_quant_conv=False,
            use_post_quant_conv=False,
            **kinds,
        ).to(device)
        self.vae.requires_grad_(False)
        self.device, self.pixels, self.waited = device, pixels, 0.0
        self.folder = tempfile.TemporaryDirectory()
        self.files = [Path(self.folder.name) / f"{i}.png" for i in range(8)]
        rng = np.random.default_rng(0)
        for path in self.files:
            small = rng.integers(0, 256, (pixels // 8, pixels // 8, 3), np.uint8)
            side = pixels + 64
            Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(path)
        self.log = (Path(self.folder.name) / "training.jsonl").open("w", encoding="utf-8")
        self._pairs: Generator[tuple[Tensor, Tensor], None, None] = prefetch(
            self._read, 0, 10**6, 1 if debug else 8
        )

    def _read(self, number: int) -> tuple[Tensor, Tensor]:
        sides = [decode(self.files[(number + i) % len(self.files)].read_bytes()) for i in (0, 1)]
        first, second = crop(sides[0], sides[1], self.pixels, (0.5, 0.5))
        return to_tensor(first), to_tensor(second)

    def latents(self) -> tuple[Tensor, Tensor]:
        """Packed latents (1, tokens, channels) of the next pair."""
        began = time.perf_counter()
        pair = next(self._pairs)
        self.waited += time.perf_counter() - began
        both = torch.stack(pair).to(self.device)
        with torch.no_grad():
            found = pack(normalise(self.vae.encode(both).latent_dist.mode()))
        return found[:1], found[1:]

    def write(self, loss: float) -> None:
        """A row of the log."""
        self.log.write(json.dumps({"loss": loss}) + "\n")
        self.log.flush()

    def close(self) -> None:
        """End the threads and remove the files."""
        self._pairs.close()
        self.log.close()
        self.folder.cleanup()
