"""Removal of JPEG's artefacts by re-application of JPEG."""

import io

import numpy as np
from PIL import Image

QUALITIES = (5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90)
LONGEST = 65_488
"""Longest side that libjpeg encodes, 65,500, down to whole blocks of 4:2:0."""
SHIFTS = tuple((y, x) for y in range(0, 8, 2) for x in range(0, 8, 2))


def restore(image: np.ndarray) -> np.ndarray:
    """The mean over shifted re-encodings at the image's own quality (Nosratinia 2001).

    Each shift puts the block borders elsewhere, so that blocking and ringing average out while
    what all agree on stays.
    """
    quality = estimate_quality(image)
    total = np.zeros(image.shape, np.float32)
    for down, right in SHIFTS:
        padded = np.pad(image, ((down, 0), (right, 0), (0, 0)), mode="edge")
        total += reencode(padded, quality)[down:, right:]
    return (total / len(SHIFTS) + 0.5).astype(np.uint8)


def estimate_quality(image: np.ndarray, fallback: int = 30) -> int:
    """Quality (libjpeg's scale) at which `image` was encoded, from its pixels.

    Encoding again at the same quality changes an image hardly at all, so the error by quality
    has a dip there. Without a dip (scaled after encoding, another codec) `fallback`.
    """
    crop = image[: min(image.shape[0], 512) // 8 * 8, : min(image.shape[1], 512) // 8 * 8]
    errors = np.array(
        [np.abs(reencode(crop, q).astype(np.float32) - crop).mean() for q in QUALITIES]
    )
    # Error falls smoothly with quality but for the dip: compare with the lower neighbours' line.
    expected = np.sqrt(errors[:-2] * errors[2:])
    depth = errors[1:-1] / np.maximum(expected, 1e-6)
    best = int(depth.argmin())
    return QUALITIES[best + 1] if depth[best] < 0.85 else fallback


def reencode(image: np.ndarray, quality: int) -> np.ndarray:
    """Through JPEG at `quality` with 4:2:0 chroma, and back; longer images in parts."""
    for axis in (0, 1):
        if image.shape[axis] > LONGEST:
            parts = np.split(image, [LONGEST], axis)
            return np.concatenate([reencode(part, quality) for part in parts], axis)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(io.BytesIO(buffer.getvalue()), formats=("JPEG",)))
