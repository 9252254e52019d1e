"""What is computed once of every image so that its copies are found: hashes and a thumbnail.

All of it is of the luma, an (height, width) uint8 array of at least `DECODE_SIDE` pixels a side
where the image has them.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from catalog.images import decode_luma
from curation.structure import colour_map, texture_map

DECODE_SIDE = 512
FRAME = 32
"""Side of the two small frames, pixels."""

_PHASH_SIDE = 16
_PHASH_FACTOR = 4
_PLAIN = 0.06  # part of the image's contrast within which a border line is plain
_MOST_TRIMMED = 0.4  # of a side, from each end

# The luminance table of the JPEG standard (ITU T.81, table K.1), in natural order.
_K1 = np.array(
    [
        *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
    ]
)


def _ijg_sums() -> np.ndarray:
    """Sum of the IJG library's luminance table at quality 1..100, its entries cut at 255."""
    quality = np.arange(1, 101)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((_K1 * scale + 50) // 100, 1, 255).sum(axis=1)


@dataclass(frozen=True)
class Fingerprint:
    """Hashes as 32 bytes; frames as (32, 32) uint8; `trim` as left, top, right, bottom in 0..1.

    `texture` and `colour` are those of `curation.structure`.
    """

    phash: bytes
    pdq: bytes
    pdq_quality: int
    trim: tuple[float, float, float, float]
    whole: np.ndarray
    inner: np.ndarray
    thumbnail: bytes
    grain: float
    blockiness: float
    texture: np.ndarray
    colour: bytes


def phash(luma: np.ndarray) -> bytes:
    """`imagehash.phash(image, hash_size=16)` of the luma, its 256 bits packed row by row.

    The same bits as imagehash for the same luma. A JPEG decoded at a reduced size differs from
    the full one in a few bits (measured: docs/benchmarks-dedupe.md).
    """
    from scipy.fft import dct

    side = _PHASH_SIDE * _PHASH_FACTOR
    small = Image.fromarray(luma).resize((side, side), Image.Resampling.LANCZOS)
    pixels = np.asarray(small, dtype=np.float64)
    low = dct(dct(pixels, axis=0), axis=1)[:_PHASH_SIDE, :_PHASH_SIDE]
    return np.packbits(low > np.median(low)).tobytes()


def pdq(luma: np.ndarray) -> tuple[bytes, int]:
    """PDQ hash (256 bits packed) and its quality 0..100, of the luma at most 512 pixels a side."""
    import cv2
    import pdqhash

    longest = max(luma.shape)
    if longest > DECODE_SIDE:
        size = [max(1, round(n * DECODE_SIDE / longest)) for n in luma.shape[::-1]]
        luma = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    bits, quality = pdqhash.compute(np.ascontiguousarray(np.repeat(luma[:, :, None], 3, axis=2)))
    return np.packbits(bits.astype(bool)).tobytes(), int(quality)


def jpeg_quality(data: bytes) -> int | None:
    """Quality 1..100 of the IJG scale whose luminance table sums nearest; None when not a JPEG."""
    with Image.open(io.BytesIO(data)) as image:
        tables = getattr(image, "quantization", None)
    # An MPO is a JPEG with further pictures after it, as cameras write them.
    if image.format not in ("JPEG", "MPO") or not tables:
        return None
    return 1 + int(np.abs(_ijg_sums() - sum(tables[min(tables)])).argmin())


def _plain_lines(lines: np.ndarray, tolerance: float) -> int:
    """How many of the first `lines` are of the first one's colour throughout."""
    colour = np.median(lines[0])
    plain = np.abs(lines - colour) <= tolerance
    inside = np.flatnonzero(plain.mean(axis=1) < 0.95)
    return int(min(inside[0] if len(inside) else 0, _MOST_TRIMMED * len(lines)))


def trim_box(luma: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (pixels, end exclusive) of the image without its plain border.

    A line is plain when 95 % of it is within 6 % of the image's contrast of one level, so that a
    dark scene is not taken for a border.
    """
    values = luma.astype(np.float32)
    low, high = np.percentile(values, (2, 98))
    tolerance = min(10.0, max(1.5, _PLAIN * float(high - low)))
    height, width = luma.shape
    top, bottom = _plain_lines(values, tolerance), _plain_lines(values[::-1], tolerance)
    left, right = _plain_lines(values.T, tolerance), _plain_lines(values.T[::-1], tolerance)
    return left, top, width - right, height - bottom


def grain(luma: np.ndarray) -> float:
    """Standard deviation of noise, grey levels, in the evenest fifth of the 16 x 16 blocks.

    The operator is that of Immerkaer, "Fast Noise Variance Estimation" (1996), which structure
    of first and second order leaves at zero.
    """
    import cv2

    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    found = np.abs(cv2.filter2D(luma.astype(np.float32), -1, kernel))
    height, width = (n // 16 for n in luma.shape)
    if not height or not width:
        return 0.0
    blocks = cv2.resize(
        found[: 16 * height, : 16 * width], (width, height), interpolation=cv2.INTER_AREA
    )
    # Blocks at the ends of the scale are clipped and show less noise than there is.
    level = cv2.resize(
        luma[: 16 * height, : 16 * width], (width, height), interpolation=cv2.INTER_AREA
    )
    exposed = blocks[(level > 16) & (level < 239)]
    chosen = exposed if exposed.size >= 8 else blocks.ravel()
    return float(np.sqrt(np.pi / 2) / 6 * np.percentile(chosen, 20))


def blockiness(luma: np.ndarray) -> float:
    """How much larger the steps between 8 x 8 JPEG blocks are than those inside, 0 for equal.

    The grid is looked for at all eight offsets each way, since a crop moves it, and its steps are
    compared with the next largest: scaling up gives steps at several offsets alike.
    """
    excess = []
    for axis in (0, 1):
        steps = np.abs(np.diff(luma.astype(np.float32), axis=axis)).clip(0, 32).mean(axis=1 - axis)
        if len(steps) < 32:
            return 0.0
        by_offset = np.array([steps[offset::8].mean() for offset in range(8)])
        second, first = np.sort(by_offset)[-2:]
        excess.append(float(first / max(second, 0.25)) - 1.0)
    return min(excess)


def make_fingerprint(data: bytes, thumbnail_side: int) -> Fingerprint:
    """Everything of one encoded image. Raises `ImageRefused`."""
    import cv2

    luma = decode_luma(data, DECODE_SIDE)
    height, width = luma.shape
    scale = min(1.0, thumbnail_side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA) if scale < 1 else luma
    left, top, right, bottom = trim_box(small)
    inner = small[top:bottom, left:right]
    ratio = (size[0], size[1], size[0], size[1])
    trim = tuple(a / b for a, b in zip((left, top, right, bottom), ratio, strict=True))
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, "JPEG", quality=90)
    bits, quality = pdq(luma)
    return Fingerprint(
        phash(luma),
        bits,
        quality,
        (trim[0], trim[1], trim[2], trim[3]),
        cv2.resize(small, (FRAME, FRAME), interpolation=cv2.INTER_AREA),
        cv2.resize(inner, (FRAME, FRAME), interpolation=cv2.INTER_AREA),
        buffer.getvalue(),
        grain(luma),
        blockiness(luma),
        texture_map(luma),
        colour_map(data),
    )
