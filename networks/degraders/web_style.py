"""The web-style chain: blur, down-scaling, noise and JPEG, once or twice (Real-ESRGAN's idea).

It degrades whatever degradation an image carries already, so it serves as an augmentation of the
degraded side during training. Ranges are those of the released RealRestorer pipeline.
"""

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

from catalog.images import Rgb
from catalog.settings.degraders import WebStyleRanges
from networks.degraders.base import Draw, Drawn
from networks.degraders.imaging import jpeg, normals, resize
from networks.interfaces import Identity

SCALERS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
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


@dataclass(frozen=True)
class Round:
    """One round of the chain."""

    blur: np.ndarray | tuple[int, float, float]
    """A sinc kernel, or the side, sigma x and sigma y of a Gaussian one."""
    small: tuple[int, int]
    scaler: str
    noise: float
    """Sigma in 8-bit levels; of Poisson noise, its scale."""
    poisson: bool
    seed: int
    quality: int


class WebStyle:
    """The chain as an augmentation; it stands for no single degradation.

    `strength` 0..1 scales sigma, down-scaling, noise and loss of quality.
    """

    def __init__(self, ranges: WebStyleRanges | None = None, strength: float = 1.0) -> None:
        self.ranges = ranges or WebStyleRanges()
        self.strength = strength
        text = self.ranges.model_dump_json() + f" {strength}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.identity = Identity("web-style", "2", prompt=digest)

    def augment(self, image: Rgb, rng: np.random.Generator) -> Rgb:
        """(h, w, 3) uint8 -> the same size."""
        return self.augment_with_parameters(image, rng)[0]

    def augment_with_parameters(self, image: Rgb, rng: np.random.Generator) -> tuple[Rgb, Drawn]:
        """The image after the chain, and what was drawn."""
        rounds, drawn = self.plan(image.shape[0], image.shape[1], rng)
        current = image
        for turn in rounds:
            current = _render(current, turn)
        if current.shape[:2] != image.shape[:2]:
            current = resize(current, image.shape[0], image.shape[1], cv2.INTER_CUBIC)
        return current, drawn

    def plan(
        self, height: int, width: int, rng: np.random.Generator
    ) -> tuple[tuple[Round, ...], Drawn]:
        """The rounds for an image of this size, and the parameters to record."""
        draw = Draw(rng, 3.0)
        ranges = self.ranges
        rounds = [self._round((height, width), "first", ranges.sigma, ranges.downscale, draw)]
        if draw.chance("second", ranges.second):
            spans = (ranges.second_sigma, ranges.second_downscale)
            rounds.append(self._round(rounds[0].small, "second", *spans, draw))
        return tuple(rounds), draw.drawn

    def _round(
        self,
        size: tuple[int, int],
        name: str,
        sigma: tuple[float, float],
        downscale: tuple[float, float],
        draw: Draw,
    ) -> Round:
        ranges = self.ranges
        side = draw.integer(f"{name}-kernel", ranges.kernel) | 1
        blur: np.ndarray | tuple[int, float, float]
        if draw.chance(f"{name}-sinc", ranges.sinc):
            cutoff = draw.uniform(f"{name}-cutoff", (float(np.pi) / 4, float(np.pi)))
            blur = sinc_kernel(cutoff, side)
        else:
            across = max(0.2, draw.uniform(f"{name}-sigma", sigma) * self.strength)
            blur = (side, across, across * draw.uniform(f"{name}-aspect", (0.6, 1.0)))
        factor = 1 + (draw.uniform(f"{name}-downscale", downscale) - 1) * self.strength
        scaler = draw.kind(f"{name}-scaler", dict.fromkeys(SCALERS, 1.0))
        small = (max(_MIN_SIDE, round(size[0] / factor)), max(_MIN_SIDE, round(size[1] / factor)))
        poisson = not draw.chance(f"{name}-gaussian", ranges.gaussian)
        if poisson:
            noise = draw.uniform(f"{name}-poisson", ranges.poisson) * self.strength
        else:
            noise = draw.uniform(f"{name}-noise", ranges.noise) * self.strength
        quality = draw.uniform(f"{name}-quality", ranges.quality)
        quality = int(100 - (100 - quality) * self.strength)
        return Round(blur, small, scaler, noise, poisson, draw.seed(), quality)


def poisson_spread(scale: float) -> np.ndarray:
    """(256,) float32: sigma by level of Real-ESRGAN's Poisson noise, normally approximated."""
    levels = np.maximum(np.arange(256), 1.0)
    return (np.sqrt(levels / 255 / 256) * 255 * scale).astype(np.float32)


def _render(image: Rgb, turn: Round) -> Rgb:
    border = cv2.BORDER_REFLECT_101
    if isinstance(turn.blur, tuple):
        side, across, down = turn.blur
        current = cv2.GaussianBlur(image, (side, side), across, sigmaY=down, borderType=border)
    else:
        current = cv2.filter2D(image, -1, turn.blur, borderType=border)
    current = resize(current, *turn.small, SCALERS[turn.scaler])
    if turn.poisson:
        grain = normals(current.shape, turn.seed) * cv2.LUT(current, poisson_spread(turn.noise))
    else:
        grain = normals(current.shape, turn.seed, turn.noise)
    return jpeg(cv2.add(current, grain, dtype=cv2.CV_8U), turn.quality)


def web_style(image: Rgb, rng: np.random.Generator) -> Rgb:
    """The chain at the released ranges: (h, w, 3) uint8 -> the same size."""
    return WebStyle().augment(image, rng)
