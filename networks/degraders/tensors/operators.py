"""The degraders' operators on torch tensors, on any device.

Images are (c, h, w) float32. Each function does what its namesake in networks.degraders.imaging
does by OpenCV, borders included.
"""

from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from networks.degraders.fields import Field
from networks.degraders.imaging import REC_709, shrinking, shrunk_sigma

_DIRECT = 15
"""Kernels of more pixels a side are applied by Fourier transform."""


def to_linear(image: Tensor) -> Tensor:
    """sRGB 0..1 to linear light."""
    return torch.where(
        image <= 0.04045, image / 12.92, ((image.clamp(min=0.04) + 0.055) / 1.055) ** 2.4
    )


def encode(linear: Tensor) -> Tensor:
    """Linear light to sRGB 0..1, clipped, not rounded."""
    light = linear.clamp(0, 1)
    high = 1.055 * light.clamp(min=1e-3) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, 12.92 * light, high)


def rounded(image: Tensor) -> Tensor:
    """Clipped to 0..1 and rounded to 8 bits."""
    return (image.clamp(0, 1) * 255).round() / 255


def to_srgb(linear: Tensor) -> Tensor:
    """Linear light to sRGB 0..1 of 8 bits, clipped."""
    return rounded(encode(linear))


def luminance(image: Tensor) -> Tensor:
    """Rec. 709 luminance, (1, h, w)."""
    weights = torch.as_tensor(REC_709[0], device=image.device)
    return (image * weights[:, None, None]).sum(dim=0, keepdim=True)


def upload(array: np.ndarray, device: torch.device) -> Tensor:
    """(h, w) or (h, w, 3) of any number type to (1 or 3, h, w) float32 on the device."""
    tensor = torch.from_numpy(np.require(array, requirements=("C", "W"))).to(device).float()
    return tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1)


def colour(values: np.ndarray, device: torch.device) -> Tensor:
    """(3,) to (3, 1, 1)."""
    return torch.as_tensor(values, dtype=torch.float32, device=device)[:, None, None]


def field(noise: Field, height: int, width: int, device: torch.device) -> Tensor:
    """(1, h, w) of a slow random field, 0..1."""
    total = torch.zeros((1, height, width), device=device)
    for octave, grid in enumerate(noise.grids):
        total += 0.5**octave * resize(upload(grid, device), height, width, "cubic")
    low, high = total.min(), total.max()
    return (total - low) / (high - low).clamp(min=1e-6)


@lru_cache(maxsize=64)
def _mirrored(size: int, before: int, after: int) -> Tensor:
    """Indices that continue 0 .. size - 1 by reflection, the border pixel not repeated."""
    period = max(2 * (size - 1), 1)
    place = torch.arange(-before, size + after) % period
    return torch.where(place < size, place, period - place)


def mirror(image: Tensor, top: int, bottom: int, left: int, right: int) -> Tensor:
    """Reflected beyond its borders by any number of pixels (BORDER_REFLECT_101)."""
    rows = _mirrored(image.shape[-2], top, bottom).to(image.device)
    columns = _mirrored(image.shape[-1], left, right).to(image.device)
    return image.index_select(-2, rows).index_select(-1, columns)


def convolve(image: Tensor, kernel: np.ndarray) -> Tensor:
    """Each channel filtered with an odd (n, m) kernel (correlation, as cv2.filter2D)."""
    height, width = image.shape[-2:]
    up, left = kernel.shape[0] // 2, kernel.shape[1] // 2
    weights = torch.from_numpy(np.ascontiguousarray(kernel, np.float32)).to(image.device)
    padded = mirror(image, up, up, left, left)
    if min(kernel.shape) == 1 or max(kernel.shape) <= _DIRECT:
        return functional.conv2d(padded[:, None], weights[None, None])[:, 0]
    size = (int(padded.shape[-2]), int(padded.shape[-1]))
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(weights, s=size).conj()
    return torch.fft.irfft2(spectrum, s=size)[..., :height, :width]


def smoothed(image: Tensor, sigma: float, down: float | None = None) -> Tensor:
    """Gaussian at full resolution; `down` is the other sigma for columns."""
    for axis, value in enumerate((sigma, down or sigma)):
        side = round(value * 8 + 1) | 1  # as cv2.GaussianBlur for floats
        kernel = cv2.getGaussianKernel(side, value, cv2.CV_32F)
        image = convolve(image, kernel.T if axis == 0 else kernel)
    return image


def gaussian(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, at a lower resolution where it is large; unchanged for a sigma near 0."""
    if sigma < 0.15:
        return image
    factor = shrinking(sigma)
    if factor == 1:
        return smoothed(image, sigma)
    height, width = image.shape[-2:]
    rows, columns = max(2, round(height / factor)), max(2, round(width / factor))
    small = resize(image, rows, columns, "area")
    across, down = shrunk_sigma(sigma, width / columns), shrunk_sigma(sigma, height / rows)
    return resize(smoothed(small, across, down), height, width, "cubic")


@lru_cache(maxsize=32)
def _area(old: int, new: int) -> Tensor:
    """(new, old) weights of OpenCV's INTER_AREA, read off a unit matrix."""
    unit = np.eye(old, dtype=np.float32)
    return torch.from_numpy(cv2.resize(unit, (old, new), interpolation=cv2.INTER_AREA))


@lru_cache(maxsize=32)
def _nearest(old: int, new: int) -> Tensor:
    """(new,) sources of OpenCV's INTER_NEAREST_EXACT, which settles ties its own way."""
    places = np.arange(old, dtype=np.float32)[None]
    found = cv2.resize(places, (new, 1), interpolation=cv2.INTER_NEAREST_EXACT)
    return torch.from_numpy(found[0].astype(np.int64))


_MODES = {"linear": "bilinear", "cubic": "bicubic"}


def resize(image: Tensor, height: int, width: int, how: str) -> Tensor:
    """`cv2.resize` by (height, width); `how` is linear, cubic, nearest or area."""
    if tuple(image.shape[-2:]) == (height, width):
        return image
    if how == "area":
        rows = _area(int(image.shape[-2]), height).to(image.device)
        columns = _area(int(image.shape[-1]), width).to(image.device)
        return rows @ image @ columns.T
    if how == "nearest":
        rows = _nearest(int(image.shape[-2]), height).to(image.device)
        columns = _nearest(int(image.shape[-1]), width).to(image.device)
        return image.index_select(-2, rows).index_select(-1, columns)
    size = (height, width)
    return functional.interpolate(image[None], size, mode=_MODES[how], align_corners=False)[0]


def sample(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(c, h, w) at places x and y (any one shape, px), linearly, mirrored: (c, *shape)."""
    height, width = image.shape[-2:]
    grid = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], dim=-1)
    flat = grid.reshape(1, 1, -1, 2)
    found = functional.grid_sample(
        image[None], flat, mode="bilinear", padding_mode="reflection", align_corners=True
    )
    return found.reshape(image.shape[0], *x.shape)


def mosaic(image: Tensor) -> Tensor:
    """Bayer pattern RGGB: (3, h, w) -> (1, h, w)."""
    raw = image[1:2].clone()
    raw[:, 0::2, 0::2] = image[0:1, 0::2, 0::2]
    raw[:, 1::2, 1::2] = image[2:3, 1::2, 1::2]
    return raw


_CROSS = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
_SQUARE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4


def demosaic(raw: Tensor) -> Tensor:
    """Bilinear demosaicing of an RGGB pattern: (1, h, w) -> (3, h, w)."""
    known = torch.zeros((3, *raw.shape[-2:]), device=raw.device)
    known[0, 0::2, 0::2] = raw[0, 0::2, 0::2]
    known[1, 0::2, 1::2] = raw[0, 0::2, 1::2]
    known[1, 1::2, 0::2] = raw[0, 1::2, 0::2]
    known[2, 1::2, 1::2] = raw[0, 1::2, 1::2]
    return torch.cat(
        [convolve(known[:1], _SQUARE), convolve(known[1:2], _CROSS), convolve(known[2:], _SQUARE)]
    )
