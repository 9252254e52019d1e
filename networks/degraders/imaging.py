"""Linear light, noise fields, encodings: the tools of the degraders.

Linear images are (h, w, 3) float32, 0 .. 1 (IEC 61966-2-1), and may exceed 1 before they are
encoded.
"""

from functools import lru_cache
from statistics import NormalDist

import cv2
import numpy as np

from catalog.images import Rgb

_STEPS = 8192
_TOP = 4.0


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
    """Encoded 8-bit value (with fraction) by the square root of linear light, which is smooth."""
    root = np.arange(_STEPS + 1) / _STEPS
    return np.rint(encode_curve(root**2) * 255.0).astype(np.uint8)


def to_linear(image: Rgb) -> np.ndarray:
    """uint8 sRGB to linear light."""
    return cv2.LUT(image, _to_linear_table())


def to_srgb(linear: np.ndarray) -> Rgb:
    """Linear light to uint8 sRGB, clipped."""
    root = np.maximum(linear, 0)
    np.sqrt(root, out=root)
    root *= _STEPS
    root += 0.5
    index = np.minimum(root, _STEPS, out=root).astype(np.uint16)
    return np.take(_to_srgb_table(), index)


def to_uint8(values: np.ndarray) -> Rgb:
    """Floats in 0 .. 255 to rounded, clipped uint8."""
    return cv2.convertScaleAbs(np.maximum(values, 0.0))


def luminance(image: np.ndarray) -> np.ndarray:
    """Rec. 709 luminance, (h, w) float32, in the unit of the input."""
    return image.astype(np.float32, copy=False) @ np.array([0.2126, 0.7152, 0.0722], np.float32)


def normals(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Standard normal float32."""
    return rng.standard_normal(shape, dtype=np.float32)


@lru_cache(maxsize=1)
def _quantiles() -> np.ndarray:
    """256 equally likely values of a standard normal, scaled to a variance of 1."""
    middle = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])
    return (middle / middle.std()).astype(np.float32)


def with_grain(image: Rgb, sigma: float, rng: np.random.Generator) -> Rgb:
    """Add weak Gaussian noise of `sigma` 8-bit levels, independent in each channel.

    Each value is one of 256 quantiles (none beyond 2.9 sigma), which rounding to 8 bits hides as
    long as sigma is a few levels; it costs a byte of randomness instead of a float.
    """
    drawn = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)
    grain = cv2.LUT(drawn, _quantiles() * np.float32(sigma))
    return cv2.add(image, grain, dtype=cv2.CV_8U)


def smooth_noise(
    height: int, width: int, cells: float, rng: np.random.Generator, octaves: int = 3
) -> np.ndarray:
    """(h, w) float32 in 0..1: value noise, `cells` cells along the long side, halved by octave."""
    total = np.zeros((height, width), np.float32)
    weight = 1.0
    for octave in range(octaves):
        count = cells * 2**octave
        rows = max(2, round(count * height / max(height, width)) + 1)
        columns = max(2, round(count * width / max(height, width)) + 1)
        grid = rng.random((rows, columns), dtype=np.float32)
        total += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        weight /= 2
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def gaussian(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur with mirrored borders; unchanged for a sigma near 0."""
    if sigma < 0.15:
        return image
    if sigma > 24:  # a large blur loses nothing at a lower resolution
        factor = sigma / 8
        height, width = image.shape[:2]
        small = cv2.resize(
            image,
            (max(2, round(width / factor)), max(2, round(height / factor))),
            interpolation=cv2.INTER_AREA,
        )
        blurred = cv2.GaussianBlur(
            small, (0, 0), sigma * small.shape[1] / width, borderType=cv2.BORDER_REFLECT
        )
        return cv2.resize(blurred, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)


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
    levels = np.clip(raw * 65535.0 + 0.5, 0, 65535).astype(np.uint16)
    padded = cv2.copyMakeBorder(levels, 2, 2, 2, 2, cv2.BORDER_REFLECT_101)
    # OpenCV names the pattern by its second row: BayerBG is RGGB.
    return cv2.demosaicing(padded, cv2.COLOR_BayerBG2BGR)[2:-2, 2:-2, ::-1].astype(
        np.float32
    ) / np.float32(65535)
