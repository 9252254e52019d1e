"""Small maps of what a luma thumbnail does not show: fine texture at full size, and colour."""

import io

import numpy as np
from PIL import Image

from catalog.images import decode_reduced

CELLS = 16
"""Cells a side of the map of texture."""
COLOUR_SIDE = 96
"""Longer side of the map of colour, pixels."""

_SCALE = 32.0  # steps of a byte by factor of two of texture
_OFFSET = 0.05  # grey levels added before the logarithm
_MIDDLE = (2, 6)  # sums of the two frequencies of an 8 x 8 DCT, from and below


def texture_map(luma: np.ndarray) -> np.ndarray:
    """(CELLS, CELLS) uint8: 32 log2 of the mean middle DCT coefficient of each cell's 8 x 8 blocks.

    Quantisation empties these coefficients and blur takes them away, at the image's own size, where
    a thumbnail shows neither. An image below 8 pixels a side gives zeros.
    """
    import cv2
    from scipy.fft import dctn

    height, width = (n // 8 * 8 for n in luma.shape)
    if not min(height, width):
        return np.zeros((CELLS, CELLS), np.uint8)
    # pocketfft and no matrix product: on blocks this small BLAS's threads wait for each other,
    # at fifteen times the CPU time.
    blocks = luma[:height, :width].astype(np.float32).reshape(height // 8, 8, width // 8, 8)
    values = np.abs(dctn(blocks, axes=(1, 3), norm="ortho"))
    total = np.add.outer(np.arange(8), np.arange(8))
    weight = ((total >= _MIDDLE[0]) & (total < _MIDDLE[1])).astype(np.float32)
    middle = np.einsum("bkwl,kl->bw", values, weight) / weight.sum()
    cells = cv2.resize(middle, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    steps = _SCALE * np.log2(np.maximum(cells, 0.0) / _OFFSET + 1.0)
    return np.clip(np.round(steps), 0, 255).astype(np.uint8)


def texture_levels(stored: bytes) -> np.ndarray:
    """(CELLS, CELLS) float32 of `texture_map`'s bytes: mean coefficient in grey levels."""
    steps = np.frombuffer(stored, np.uint8).reshape(CELLS, CELLS).astype(np.float32)
    return np.asarray((np.exp2(steps / _SCALE) - 1.0) * _OFFSET, np.float32)


def colour_map(data: bytes) -> bytes:
    """Cb above Cr of the image at `COLOUR_SIDE`, one grey JPEG. Raises `ImageRefused`."""
    import cv2

    rgb = decode_reduced(data, COLOUR_SIDE)
    scale = min(1.0, COLOUR_SIDE / max(rgb.shape[:2]))
    height, width = (max(1, round(n * scale)) for n in rgb.shape[:2])
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    planes = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)
    buffer = io.BytesIO()
    both = np.concatenate([planes[:, :, 2], planes[:, :, 1]])
    Image.fromarray(both).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def colour_planes(stored: bytes) -> np.ndarray:
    """(2, height, width) uint8 of `colour_map`'s bytes."""
    import cv2

    both = np.asarray(cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_GRAYSCALE))
    return both.reshape(2, -1, both.shape[1])
