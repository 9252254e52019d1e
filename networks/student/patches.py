"""The fixed "autoencoder": pixels to patches and back, without loss and without weights."""

import numpy as np
import torch
from torch import Tensor

from catalog.images import Rgb


def to_tensor(image: Rgb) -> Tensor:
    """(height, width, 3) uint8 to (3, height, width) float32 in -1..1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1.0


def to_image(pixels: Tensor) -> Rgb:
    """(3, height, width) in -1..1 (clipped) to (height, width, 3) uint8, rounded to nearest."""
    scaled = ((pixels.float() + 1.0) * 127.5).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def patchify(pixels: Tensor, patch: int) -> Tensor:
    """(batch, c, h, w) to (batch, h/patch * w/patch, c * patch**2), rows of patches first."""
    batch, channels, height, width = pixels.shape
    grid = pixels.reshape(batch, channels, height // patch, patch, width // patch, patch)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(
        batch, (height // patch) * (width // patch), channels * patch * patch
    )


def unpatchify(tokens: Tensor, patch: int, height: int, width: int) -> Tensor:
    """The inverse of `patchify`; `height` and `width` in pixels."""
    batch, _, size = tokens.shape
    channels = size // (patch * patch)
    grid = tokens.reshape(batch, height // patch, width // patch, channels, patch, patch)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, height, width)
