"""What JPEG does to pixels, on a device: all of the codec but the lossless entropy coding.

Tables and rounding follow ISO/IEC 10918-1 and libjpeg's scaling of the tables by quality.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from networks.degraders import imaging
from networks.degraders.tensors.operators import resize

# ISO/IEC 10918-1, tables K.1 and K.2.
_LUMA = """
16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101
72 92 95 98 112 100 103 99"""
_CHROMA = """
17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"""

_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


@lru_cache(maxsize=256)
def _table(text: str, quality: int) -> Tensor:
    """(8, 8) steps of a quality 1..100."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = (np.array(text.split(), dtype=np.int64) * scale + 50) // 100
    return torch.from_numpy(np.clip(steps, 1, 255).reshape(8, 8).astype(np.float32))


@lru_cache(maxsize=1)
def _cosines() -> Tensor:
    """(8, 8) orthonormal DCT-II, a frequency a row."""
    n = np.arange(8)
    rows = np.cos((2 * n[None, :] + 1) * n[:, None] * np.pi / 16) / 2
    rows[0] /= np.sqrt(2)
    return torch.from_numpy(rows.astype(np.float32))


def _coded(plane: Tensor, steps: Tensor) -> Tensor:
    """(h, w) levels 0..255 through the quantised DCT; any size."""
    height, width = plane.shape
    right, bottom = -width % 8, -height % 8
    padded = functional.pad(plane[None, None], (0, right, 0, bottom), mode="replicate")[0, 0]
    rows, columns = padded.shape[0] // 8, padded.shape[1] // 8
    blocks = padded.reshape(rows, 8, columns, 8).transpose(1, 2) - 128
    cosines, steps = _cosines().to(plane.device), steps.to(plane.device)
    coefficients = ((cosines @ blocks @ cosines.T) / steps).round() * steps
    back = (cosines.T @ coefficients @ cosines + 128).round().clamp(0, 255)
    return back.transpose(1, 2).reshape(padded.shape)[:height, :width]


def jpeg(image: Tensor, quality: int, subsample: bool = True) -> Tensor:
    """(3, h, w) in 0..1 of 8 bits, as it is after JPEG; colour at half resolution by default."""
    to_ycc = torch.tensor(_TO_YCC, device=image.device)
    ycc = torch.einsum("kc,chw->khw", to_ycc, image * 255).round()
    ycc[1:] += 128
    quality = min(max(int(quality), 1), 100)
    luma = _coded(ycc[0], _table(_LUMA, quality))
    chroma, steps = ycc[1:], _table(_CHROMA, quality)
    height, width = image.shape[-2:]
    if subsample:
        even = functional.pad(chroma[None], (0, width % 2, 0, height % 2), mode="replicate")
        # Half a level more or less decides ties; libjpeg alternates, on average as here.
        chroma = functional.avg_pool2d(even, 2)[0].round()
    chroma = torch.stack([_coded(plane, steps) for plane in chroma])
    if subsample:
        size = (2 * int(chroma.shape[1]), 2 * int(chroma.shape[2]))
        chroma = resize(chroma, *size, "linear").round()[:, :height, :width]
    levels = torch.cat([luma[None], chroma - 128])
    to_rgb = torch.tensor(_TO_RGB, device=image.device)
    return torch.einsum("kc,chw->khw", to_rgb, levels).round().clamp(0, 255) / 255


def webp(image: Tensor, quality: int) -> Tensor:
    """(3, h, w) in 0..1 through libwebp, which knows the CPU only: there and back."""
    levels = (image * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    coded = imaging.webp(np.ascontiguousarray(levels), quality)
    return torch.from_numpy(coded).to(image.device).permute(2, 0, 1).float() / 255
