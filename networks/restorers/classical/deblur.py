"""Deblurring by an estimated Gaussian kernel."""

import cv2
import numpy as np

from networks.restorers.classical.denoise import noise_sigma
from networks.restorers.classical.filters import luma, to_bytes, to_float

LARGEST_SIGMA = 4.0
"""Pixels; a wider kernel has destroyed what a linear filter could bring back."""


def restore(image: np.ndarray) -> np.ndarray:
    """Wiener deconvolution of each channel by a Gaussian whose width is read from the edges.

    The regularisation is the Wiener filter's noise-to-signal ratio, from the estimated noise and
    a natural image's 1/f^2 power spectrum. Out-of-focus and mild motion blur gain; long motion
    trails do not.
    """
    blurred = to_float(image)
    # Rounded: sums of SIMD code depend in their last digits on where an array lies in memory, and
    # the same image must be restored to the same bytes.
    sigma = round(edge_sigma(luma(blurred)), 3)
    if sigma < 0.4:
        return image.copy()
    noise = round(max(noise_sigma(image), 0.6), 3) / 255
    return to_bytes(_wiener(blurred, min(sigma, LARGEST_SIGMA), noise))


def edge_sigma(grey: np.ndarray, probe: float = 1.0) -> float:
    """Blur of the sharper edges in pixels (Zhuo and Sim 2011), (height, width) float in 0 .. 1.

    Blurring once more by `probe` divides an edge's gradient by R = sqrt(1 + probe^2 / sigma^2).
    The 35th percentile over strong edges: an out-of-focus background is not to be sharpened.
    """
    first = _gradient(grey)
    second = _gradient(cv2.GaussianBlur(grey, (0, 0), probe))
    strong = first > max(float(np.percentile(first, 95)), 0.01)
    if int(strong.sum()) < 16:
        return 0.0
    ratio = first[strong] / np.maximum(second[strong], 1e-6)
    sigma = probe / np.sqrt(np.maximum(ratio**2 - 1, 1e-4))
    # An ideal pixel-wide edge already reads as this much.
    sharp = 0.5
    return float(np.sqrt(max(float(np.percentile(sigma, 35)) ** 2 - sharp**2, 0.0)))


def _gradient(grey: np.ndarray) -> np.ndarray:
    return cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))


def _wiener(image: np.ndarray, sigma: float, noise: float) -> np.ndarray:
    """`image` (height, width, 3) deconvolved by a Gaussian of `sigma` pixels."""
    border = int(np.ceil(4 * sigma))
    padded = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REFLECT)
    rows = np.fft.fftfreq(padded.shape[0])[:, None]
    columns = np.fft.rfftfreq(padded.shape[1])[None]
    square = rows**2 + columns**2
    transfer = np.exp(-2 * np.pi**2 * sigma**2 * square)
    # Power of detail falls as 1 / f^2 from about 2 % of full contrast a cycle per pixel.
    ratio = (noise / 0.02) ** 2 * square
    spectrum = transfer / (transfer**2 + ratio + 1e-3)
    channels = [
        np.fft.irfft2(np.fft.rfft2(padded[:, :, index]) * spectrum, s=padded.shape[:2])
        for index in range(3)
    ]
    height, width = image.shape[:2]
    whole = np.stack(channels, axis=2).astype(np.float32)
    return whole[border : border + height, border : border + width]
