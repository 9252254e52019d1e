"""The network: noisy and degraded pixels, a time and an instruction to a prediction in pixels."""

import math

import torch
from torch import Tensor, nn

from catalog.degradations import Degradation
from catalog.settings.training import Architecture
from networks.student import rope
from networks.student.blocks import DoubleBlock, Modulation, SingleBlock, modulate
from networks.student.patches import patchify, unpatchify
from networks.student.refiner import Refiner

INSTRUCTIONS = tuple(Degradation)
"""Row of the instruction embedding by position; one more row stands for no instruction."""

NO_INSTRUCTION = len(INSTRUCTIONS)
_TIME_WIDTH = 256


def time_features(t: Tensor) -> Tensor:
    """(batch,) times in 0..1 to (batch, 256) cosines and sines of 1000 t, as in FLUX."""
    half = _TIME_WIDTH // 2
    frequencies = torch.exp(
        -math.log(10_000.0) * torch.arange(half, dtype=torch.float32, device=t.device) / half
    )
    angles = 1000.0 * t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class StudentDiT(nn.Module):
    """FLUX-like diffusion transformer on patches of pixels.

    The last layer starts at zero: with prediction "residual" an untrained network restores nothing
    and changes nothing.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = a = architecture
        in_context = a.reference == "in-context"
        pixels = 3 * a.patch**2
        hidden = round(a.width * a.mlp_ratio)
        self.img_in = nn.Linear(pixels if in_context else 2 * pixels, a.width)
        self.time_in = nn.Sequential(
            nn.Linear(_TIME_WIDTH, a.width), nn.SiLU(), nn.Linear(a.width, a.width)
        )
        self.vector_in = nn.Embedding(len(INSTRUCTIONS) + 1, a.width)
        self.txt_in = nn.Embedding(len(INSTRUCTIONS) + 1, a.instruction_tokens * a.width)
        self.double_blocks = nn.ModuleList(
            DoubleBlock(a.width, a.heads, hidden) for _ in range(a.double_blocks)
        )
        self.single_blocks = nn.ModuleList(
            SingleBlock(a.width, a.heads, hidden) for _ in range(a.single_blocks)
        )
        self.final_modulation = Modulation(a.width, 2)
        self.final_layer = nn.Linear(a.width, a.width if a.refiner else pixels)
        self.refiner = Refiner(a.refiner, a.patch, a.width) if a.refiner else None
        for embedding in (self.vector_in, self.txt_in):
            nn.init.normal_(embedding.weight, std=0.02)
        if self.refiner is None:
            nn.init.zeros_(self.final_layer.weight)
            nn.init.zeros_(self.final_layer.bias)

    def _rotation(self, rows: int, columns: int, device: torch.device) -> rope.Rotation:
        a = self.architecture
        parts = [torch.zeros(a.instruction_tokens, 3), rope.positions(0, rows, columns)]
        if a.reference == "in-context":
            parts.append(rope.positions(1, rows, columns))
        return rope.rotations(torch.cat(parts).to(device), rope.axis_widths(a.width // a.heads))

    def forward(self, noisy: Tensor, reference: Tensor, t: Tensor, instruction: Tensor) -> Tensor:
        """Predict velocity or residual (see `Architecture.prediction`), (batch, 3, h, w) float32.

        noisy, reference: (batch, 3, h, w) in -1..1 (noise beyond), h and w multiples of the patch.
        t: (batch,) in 0..1. instruction: (batch,) int64, an index into `INSTRUCTIONS` or
        `NO_INSTRUCTION`.
        """
        a = self.architecture
        height, width = noisy.shape[-2:]
        if a.prediction == "residual":
            # As much as it holds of the clean image: at t = 1, where it is noise alone, nothing.
            # Otherwise noise of the clean image's own size enters every convolution.
            noisy = noisy * (1 - t)[:, None, None, None]
        rotation = self._rotation(height // a.patch, width // a.patch, noisy.device)
        if a.reference == "channels":
            image = self.img_in(patchify(torch.cat([noisy, reference], dim=1), a.patch))
        else:
            image = self.img_in(
                torch.cat([patchify(noisy, a.patch), patchify(reference, a.patch)], dim=1)
            )
        vector = self.time_in(time_features(t)) + self.vector_in(instruction)
        scales: list[Tensor] = []
        if self.refiner is not None:
            seen = torch.cat([noisy, reference], dim=1)
            scales, added = self.refiner.encode(seen, vector)
            image = torch.cat([image[:, : added.shape[1]] + added, image[:, added.shape[1] :]], 1)
        text = self.txt_in(instruction).unflatten(-1, (a.instruction_tokens, a.width))
        for double in self.double_blocks:
            text, image = double(text, image, vector, rotation)
        tokens = torch.cat([text.to(image.dtype), image], dim=1)
        for single in self.single_blocks:
            tokens = single(tokens, vector, rotation)
        target = tokens[:, a.instruction_tokens :][:, : (height // a.patch) * (width // a.patch)]
        shift, scale = self.final_modulation(vector)
        out = self.final_layer(modulate(target, shift, scale))
        if self.refiner is not None:
            return self.refiner.decode(out, scales, vector).float()
        return unpatchify(out, a.patch, height, width).float()

    def flops(self, height: int, width: int) -> float:
        """Floating-point operations of one forward pass of one image (2 a multiply-add)."""
        a = self.architecture
        target = math.ceil(height / a.patch) * math.ceil(width / a.patch)
        image = target * (2 if a.reference == "in-context" else 1)
        tokens = image + a.instruction_tokens
        hidden = round(a.width * a.mlp_ratio)
        linear = a.width * (4 * a.width + 2 * hidden)
        attention = 2 * tokens * a.width
        blocks = (a.double_blocks + a.single_blocks) * tokens * (linear + attention)
        last = self.final_layer.out_features
        ends = image * self.img_in.in_features * a.width + target * a.width * last
        refiner = self.refiner.macs() if self.refiner else 0
        return 2.0 * (blocks + ends + target * refiner)
