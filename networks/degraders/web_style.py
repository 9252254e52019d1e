"""The web-style chain: blur, down-scaling, noise and JPEG, once or twice (Real-ESRGAN's idea).

It degrades whatever degradation an image carries already, so it serves as an augmentation of the
degraded side during training. Ranges are those of the released RealRestorer pipeline.
"""

import hashlib

import cv2
import numpy as np

from catalog.images import Rgb
from catalog.settings.degraders import WebStyleRanges
from networks.degraders.base import Draw, Drawn
from networks.degraders.imaging import jpeg, normals, resize
from networks.interfaces import Identity

_SCALERS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
_MIN_SIDE = 16


def sinc_kernel(cutoff: float, side: int) -> np.ndarray:
    """Ideal circular low-pass of `cutoff` rad/px, (side, side), sum 1: rings as over-sharpening."""
    from scipy.special import j1

    half = side // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    radius = np.hypot(x, y)
    radius[half, half] = 1.0
    kernel = cutoff * j1(cutoff * radius) / (2 * np.pi * radius)
    kernel[half, half] = cutoff**2 / (4 * np.pi)
    return (kernel / kernel.sum()).astype(np.float32)


class WebStyle:
    """The chain as an augmentation; it stands for no single degradation.

    `strength` 0..1 scales sigma, down-scaling, noise and loss of quality.
    """

    def __init__(self, ranges: WebStyleRanges | None = None, strength: float = 1.0) -> None:
        self.ranges = ranges or WebStyleRanges()
        self.strength = strength
        text = self.ranges.model_dump_json() + f" {strength}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.identity = Identity("web-style", "1", prompt=digest)

    def augment(self, image: Rgb, rng: np.random.Generator) -> Rgb:
        """(h, w, 3) uint8 -> the same size."""
        return self.augment_with_parameters(image, rng)[0]

    def augment_with_parameters(self, image: Rgb, rng: np.random.Generator) -> tuple[Rgb, Drawn]:
        """The image after the chain, and what was drawn."""
        height, width = image.shape[:2]
        draw = Draw(rng, 3.0)
        ranges = self.ranges
        current = self._round(image, "first", ranges.sigma, ranges.downscale, draw)
        if draw.chance("second", ranges.second):
            current = self._round(
                current, "second", ranges.second_sigma, ranges.second_downscale, draw
            )
        if current.shape[:2] != (height, width):
            current = resize(current, height, width, cv2.INTER_CUBIC)
        return current, draw.drawn

    def _round(
        self,
        image: Rgb,
        name: str,
        sigma: tuple[float, float],
        downscale: tuple[float, float],
        draw: Draw,
    ) -> Rgb:
        ranges, rng = self.ranges, draw.rng
        side = draw.integer(f"{name}-kernel", ranges.kernel) | 1
        if draw.chance(f"{name}-sinc", ranges.sinc):
            cutoff = draw.uniform(f"{name}-cutoff", (float(np.pi) / 4, float(np.pi)))
            current = cv2.filter2D(
                image, -1, sinc_kernel(cutoff, side), borderType=cv2.BORDER_REFLECT_101
            )
        else:
            across = max(0.2, draw.uniform(f"{name}-sigma", sigma) * self.strength)
            down = across * draw.uniform(f"{name}-aspect", (0.6, 1.0))
            current = cv2.GaussianBlur(
                image, (side, side), across, sigmaY=down, borderType=cv2.BORDER_REFLECT_101
            )
        factor = 1 + (draw.uniform(f"{name}-downscale", downscale) - 1) * self.strength
        scaler = _SCALERS[draw.kind(f"{name}-scaler", dict.fromkeys(_SCALERS, 1.0))]
        height, width = image.shape[:2]
        small = (max(_MIN_SIDE, round(height / factor)), max(_MIN_SIDE, round(width / factor)))
        current = resize(current, *small, scaler)
        if draw.chance(f"{name}-gaussian", ranges.gaussian):
            level = draw.uniform(f"{name}-noise", ranges.noise) * self.strength
            grain = normals(current.shape, rng) * level
        else:
            scale = draw.uniform(f"{name}-poisson", ranges.poisson) * self.strength
            # Real-ESRGAN's Poisson noise at 256 levels, by its normal approximation.
            spread = np.sqrt(np.maximum(current.astype(np.float32), 1.0) / 255 / 256) * 255
            grain = normals(current.shape, rng) * spread * scale
        current = np.clip(current + grain + 0.5, 0, 255).astype(np.uint8)
        quality = draw.uniform(f"{name}-quality", ranges.quality)
        return jpeg(current, int(100 - (100 - quality) * self.strength))


def web_style(image: Rgb, rng: np.random.Generator) -> Rgb:
    """The chain at the released ranges: (h, w, 3) uint8 -> the same size."""
    return WebStyle().augment(image, rng)
