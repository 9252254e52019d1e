"""Noise: of the sensor, of film, and of processing that treats regions differently."""

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.degraders import NoiseRanges
from networks.degraders.base import Draw, ParametricDegrader, scale_of
from networks.degraders.imaging import (
    blend,
    demosaic,
    gaussian,
    jpeg,
    luminance,
    mosaic,
    normals,
    repeated,
    scaled,
)
from networks.degraders.scene import GraphSegmenter, Segmenter

DEMOSAIC_LOSS = 1.35
"""Bilinear interpolation takes away about a third of the noise; this gives it back."""

COARSE = 1.1
"""Sigma (px) of the coarse noise of segments."""

SOFT = 2.0
"""Sigma (px) of the borders between segments."""


@dataclass(frozen=True)
class NoisePlan:
    """One kind of noise; fields that the kind does not need are left at their defaults."""

    kind: str
    sigma: float
    """8-bit levels, at middle grey."""
    quality: int
    """Of the JPEG that the photo is stored as."""
    seed: int
    grey: bool = False
    """Gaussian: the same in the three channels."""
    shot: float = 0.0
    """Sensor: share of the variance at middle grey that grows with the signal."""
    size: float = 0.0
    """Grain: px."""
    colour: float = 0.0
    """Grain: share of it that differs by channel."""
    labels: np.ndarray | None = None
    """Segments: (h, w) int32."""
    strength: np.ndarray | None = None
    """Segments: of each."""
    mix: np.ndarray | None = None
    """Segments: share of coarse noise of each."""


class NoiseDegrader(ParametricDegrader[NoiseRanges, NoisePlan]):
    """One kind of noise an image, stored as a JPEG of fair quality."""

    degradation: ClassVar[Degradation] = Degradation.NOISE

    def __init__(
        self, ranges: NoiseRanges, segmenter: Segmenter | None = None, *sources: str
    ) -> None:
        super().__init__(ranges, *sources)
        self.segmenter = segmenter or GraphSegmenter()

    def _plan(self, image: Rgb, draw: Draw) -> NoisePlan:
        ranges = self.ranges
        kind = draw.kind("kind", ranges.weights)
        sigma = draw.graded("sigma", ranges.sigma)
        quality = int(draw.uniform("jpeg", ranges.jpeg))
        seed = draw.seed()
        if kind == "gaussian":
            grey = draw.chance("grey", ranges.grey)
            return NoisePlan(kind, sigma, quality, seed, grey=grey)
        if kind == "sensor":
            return NoisePlan(kind, sigma, quality, seed, shot=draw.uniform("shot", (0.3, 0.9)))
        if kind == "grain":
            size = max(0.45, draw.uniform("size", ranges.size) * scale_of(image))
            colour = 0.35 if draw.chance("grey", 0.7) else 1.0
            return NoisePlan(kind, sigma, quality, seed, size=size, colour=colour)
        labels = self.segmenter.segments(image, draw.rng)
        count = int(draw.record("segments", int(labels.max()) + 1))
        strength = draw.rng.uniform(0.35, 1.6, count).astype(np.float32)
        mix = draw.rng.uniform(0, 1, count).astype(np.float32)
        return NoisePlan(kind, sigma, quality, seed, labels=labels, strength=strength, mix=mix)

    def _render(self, image: Rgb, plan: NoisePlan) -> Rgb:
        make = {"sensor": sensor, "gaussian": white, "grain": grain, "segments": by_segment}
        noisy = cv2.add(image, make[plan.kind](image, plan), dtype=cv2.CV_8U)
        return jpeg(noisy, plan.quality, subsample=False)


def white(image: Rgb, plan: NoisePlan) -> np.ndarray:
    """Independent from pixel to pixel; (h, w, 3) in 8-bit levels, as all of these."""
    if plan.grey:
        return repeated(normals(image.shape[:2], plan.seed, plan.sigma))
    return normals(image.shape, plan.seed, plan.sigma)


def sensor(image: Rgb, plan: NoisePlan) -> np.ndarray:
    """Shot and read noise of the raw mosaic, then demosaicing: coloured and correlated.

    The variance is linear in the signal (Foi et al., 2008), with sigma at middle grey. Bilinear
    demosaicing is linear, so the noise goes through it alone.
    """
    levels = np.arange(256) / 255.0
    deviation = np.sqrt(1 - plan.shot + plan.shot * 2 * levels) * plan.sigma / 255.0 * DEMOSAIC_LOSS
    spread = cv2.LUT(mosaic(image), deviation.astype(np.float32))
    spread *= normals(spread.shape, plan.seed)
    # The offset keeps both signs in the range that `demosaic` takes.
    coloured = demosaic(scaled(spread, 0.25) + np.float32(0.5))
    coloured -= np.float32(0.5)
    coloured *= np.float32(1020)
    return coloured


def grain(image: Rgb, plan: NoisePlan) -> np.ndarray:
    """Film grain: larger than a pixel, strongest in the middle tones."""
    field = normals((*image.shape[:2], 3), plan.seed, 0.7 * plan.colour)
    # The grey part has a seed of its own.
    common = normals(image.shape[:2], plan.seed + 1, float(np.sqrt(1 - 0.5 * plan.colour**2)))
    field += repeated(common)
    field = gaussian(field, plan.size)
    tone = luminance(image) / np.float32(255)
    gain = (0.45 + 2.2 * tone * (1 - tone)) * np.float32(plan.sigma / max(field.std(), 1e-6))
    return cv2.multiply(field, repeated(gain), dst=field)


def by_segment(image: Rgb, plan: NoisePlan) -> np.ndarray:
    """Noise whose strength and grain size differ from segment to segment."""
    assert plan.labels is not None and plan.mix is not None and plan.strength is not None
    fine = normals(image.shape, plan.seed)
    coarse = gaussian(fine, COARSE)
    coarse /= np.float32(max(coarse.std(), 1e-6))
    field = blend(fine, coarse, gaussian(plan.mix[plan.labels], SOFT))
    level = gaussian(plan.strength[plan.labels], SOFT)
    # Over the whole image as strong as noise of the other kinds.
    level *= np.float32(plan.sigma / np.sqrt(np.mean(level**2)))
    return cv2.multiply(field, repeated(level), dst=field)
