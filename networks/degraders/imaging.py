"""Linear light, noise fields, encodings: the tools of the degraders.

Linear images are (h, w, 3) float32, 0 .. 1 (IEC 61966-2-1), and may exceed 1 before they are
encoded.
"""

from collections.abc import Iterator
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import cv2
import numpy as np

from catalog.images import Rgb

REC_709 = np.array([[0.2126, 0.7152, 0.0722]], np.float32)


@lru_cache(maxsize=1)
def _to_linear_table() -> np.ndarray:
    value = np.arange(256) / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(
        np.float32
    )


def encode_curve(linear: np.ndarray) -> np.ndarray:
    """Linear 0..1 to encoded 0..1, the sRGB curve in float."""
    return np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    )


@lru_cache(maxsize=1)
def _to_srgb_table() -> np.ndarray:
    """Encoded 8-bit value of 16-bit linear light; near black a step is 0.05 of an 8-bit level."""
    return np.rint(encode_curve(np.arange(65536) / 65535.0) * 255.0).astype(np.uint8)


def to_linear(image: Rgb) -> np.ndarray:
    """uint8 sRGB to linear light."""
    return cv2.LUT(image, _to_linear_table())


def scaled(image: np.ndarray, factor: float, depth: int = cv2.CV_32F) -> np.ndarray:
    """image factor, rounded and saturated where OpenCV's `depth` is of whole numbers."""
    scalar: Any = (factor,) * 4  # OpenCV's type hints know no scalars
    return cv2.multiply(image, scalar, dtype=depth)


def to_srgb(linear: np.ndarray) -> Rgb:
    """Linear light to uint8 sRGB, clipped."""
    return cv2.LUT(scaled(linear, 65535.0, cv2.CV_16U), _to_srgb_table())


def luminance(image: np.ndarray) -> np.ndarray:
    """Rec. 709 luminance, (h, w) float32, in the unit of the input."""
    return cv2.transform(image.astype(np.float32, copy=False), REC_709)


@lru_cache(maxsize=1)
def _quantiles() -> np.ndarray:
    """65,536 equally likely values of a standard normal; none lies beyond 4.3 sigma."""
    half = [NormalDist().inv_cdf((i + 0.5) / 65536) for i in range(32768)]
    return np.array(half + [-value for value in reversed(half)], np.float32)


def normals(shape: tuple[int, ...], seed: int, sigma: float = 1.0) -> np.ndarray:
    """Normal float32 of deviation `sigma` by 16-bit quantiles.

    They take a quarter of the time of NumPy's own normals; in images of 8 bits nothing shows the
    difference.
    """
    generator = np.random.Generator(np.random.SFC64(seed))
    drawn = generator.integers(0, 65536, shape, dtype=np.uint16)
    return cv2.LUT(drawn, _quantiles() * np.float32(sigma)).reshape(shape)


def repeated(mask: np.ndarray) -> np.ndarray:
    """(h, w) -> (h, w, 3), which OpenCV's arithmetic needs where NumPy would broadcast."""
    return cv2.merge([mask, mask, mask])


def bands(height: int, rows: int = 64) -> Iterator[slice]:
    """Slices of `rows` rows: what is computed pixel by pixel then stays in the processor's cache,
    and its temporary arrays are too small to be given back to the system each time.
    """
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def tinted(linear: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """(h, w, 3) times (3,), in place: several times as quick as NumPy's broadcasting."""
    scalar: Any = (*colour.tolist(), 0.0)
    return cv2.multiply(linear, scalar, dst=linear)


def mixed(
    linear: np.ndarray, gain: np.ndarray, *lights: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """linear gain + the sum of plane colour over `lights`, in place.

    (h, w, 3), (h, w), and pairs of (h, w) and (3,).
    """
    cv2.multiply(linear, repeated(gain), dst=linear)
    planes = cv2.merge([plane for plane, _ in lights])
    linear += cv2.transform(planes, np.stack([colour for _, colour in lights], axis=1))
    return linear


def blend(first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """first (1 - mask) + second mask, for (h, w, 3) and a mask (h, w); `second` is overwritten."""
    second -= first
    cv2.multiply(second, repeated(mask), dst=second)
    second += first
    return second


def shrinking(sigma: float) -> int:
    """By how much an image is scaled down before a Gaussian blur of `sigma` px, 1 for not at all.

    The blur takes away what the smaller image cannot hold.
    """
    return max(1, int(sigma / 3))


def shrunk_sigma(sigma: float, factor: float) -> float:
    """Sigma at the smaller scale, less what averaging `factor` pixels has blurred already."""
    return float(np.sqrt(max(sigma**2 - (factor**2 - 1) / 12, 0.01))) / factor


def gaussian(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur with mirrored borders; unchanged for a sigma near 0."""
    if sigma < 0.15:
        return image
    factor = shrinking(sigma)
    if factor == 1:
        return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    height, width = image.shape[:2]
    size = (max(2, round(width / factor)), max(2, round(height / factor)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    across, down = shrunk_sigma(sigma, width / size[0]), shrunk_sigma(sigma, height / size[1])
    blurred = cv2.GaussianBlur(
        small, (0, 0), across, sigmaY=down, borderType=cv2.BORDER_REFLECT_101
    )
    return cv2.resize(blurred, (width, height), interpolation=cv2.INTER_CUBIC)


def jpeg(image: Rgb, quality: int, subsample: bool = True) -> Rgb:
    """Encode as JPEG and decode again; `quality` 1 .. 100."""
    sampling = (
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if subsample else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    )
    options = [cv2.IMWRITE_JPEG_QUALITY, int(quality), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    return _through(".jpg", image, options)


def webp(image: Rgb, quality: int) -> Rgb:
    """Encode as lossy WebP and decode again; `quality` 1 .. 100."""
    return _through(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, int(quality)])


def _through(suffix: str, image: Rgb, options: list[int]) -> Rgb:
    # The channels are not swapped for the codec: it would have to be undone afterwards, but JPEG
    # treats red and blue differently, so they are.
    _, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))


def resize(image: np.ndarray, height: int, width: int, interpolation: int) -> np.ndarray:
    """`cv2.resize` by (height, width)."""
    return cv2.resize(image, (width, height), interpolation=interpolation)


def mosaic(linear: np.ndarray) -> np.ndarray:
    """Bayer pattern RGGB of a (h, w, 3) image: (h, w)."""
    raw = linear[:, :, 1].copy()
    raw[0::2, 0::2] = linear[0::2, 0::2, 0]
    raw[1::2, 1::2] = linear[1::2, 1::2, 2]
    return raw


def demosaic(raw: np.ndarray) -> np.ndarray:
    """Bilinear demosaicing of an RGGB pattern of 0..1: (h, w, 3) float32."""
    levels = scaled(raw, 65535.0, cv2.CV_16U)
    padded = cv2.copyMakeBorder(levels, 2, 2, 2, 2, cv2.BORDER_REFLECT_101)
    # OpenCV names the pattern by its second row: BayerBG is RGGB.
    colour = cv2.demosaicing(padded, cv2.COLOR_BayerBG2RGB)[2:-2, 2:-2]
    return scaled(colour, 1 / 65535.0)
