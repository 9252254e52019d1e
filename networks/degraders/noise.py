"""Noise: of the sensor, of film, and of processing that treats regions differently."""

from typing import ClassVar

import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.degraders import NoiseRanges
from networks.degraders.base import Draw, ParametricDegrader, scale_of
from networks.degraders.imaging import demosaic, gaussian, jpeg, luminance, mosaic, normals
from networks.degraders.scene import GraphSegmenter, Segmenter


class NoiseDegrader(ParametricDegrader[NoiseRanges]):
    """One kind of noise an image, stored as a JPEG of fair quality."""

    degradation: ClassVar[Degradation] = Degradation.NOISE

    def __init__(self, ranges: NoiseRanges, segmenter: Segmenter | None = None) -> None:
        super().__init__(ranges)
        self.segmenter = segmenter or GraphSegmenter()

    def _apply(self, image: Rgb, draw: Draw) -> Rgb:
        kind = draw.kind("kind", self.ranges.weights)
        sigma = draw.graded("sigma", self.ranges.sigma)
        values = image.astype(np.float32)
        make = {
            "sensor": self._sensor,
            "gaussian": self._gaussian,
            "grain": self._grain,
            "segments": self._segments,
        }[kind]
        noisy = make(values, sigma, draw)
        encoded = np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
        return jpeg(encoded, int(draw.uniform("jpeg", self.ranges.jpeg)), subsample=False)

    def _gaussian(self, image: np.ndarray, sigma: float, draw: Draw) -> np.ndarray:
        if draw.chance("grey", self.ranges.grey):
            return image + sigma * normals((*image.shape[:2], 1), draw.rng)
        return image + sigma * normals(image.shape, draw.rng)

    def _sensor(self, image: np.ndarray, sigma: float, draw: Draw) -> np.ndarray:
        """Shot and read noise of the raw mosaic, then demosaicing: coloured and correlated.

        The variance is linear in the signal (Foi et al., 2008), with `sigma` at middle grey.
        """
        share = draw.uniform("shot", (0.3, 0.9))
        raw = mosaic(image / 255.0)
        variance = (sigma / 255.0) ** 2 * (1 - share + share * 2 * raw)
        # Bilinear interpolation takes away about a third of the noise.
        raw = raw + np.sqrt(np.maximum(variance, 0)) * 1.35 * normals(raw.shape, draw.rng)
        # An offset keeps what falls below black: clipping before interpolation would brighten.
        noisy = demosaic(raw * 0.5 + 0.25) * 2 - 0.5
        clean = demosaic(mosaic(image / 255.0) * 0.5 + 0.25) * 2 - 0.5
        return image + (noisy - clean) * 255.0

    def _grain(self, image: np.ndarray, sigma: float, draw: Draw) -> np.ndarray:
        """Film grain: larger than a pixel, strongest in the middle tones."""
        size = max(0.45, draw.uniform("size", self.ranges.size) * scale_of(image))
        colour = 0.35 if draw.chance("grey", 0.7) else 1.0
        grey = normals((*image.shape[:2], 1), draw.rng)
        grain = np.sqrt(1 - 0.5 * colour**2) * grey + colour * 0.7 * normals(image.shape, draw.rng)
        grain = gaussian(grain.astype(np.float32), size)
        grain /= max(float(grain.std()), 1e-6)
        tone = luminance(image)[:, :, None] / 255.0
        return image + sigma * grain * (0.45 + 2.2 * tone * (1 - tone))

    def _segments(self, image: np.ndarray, sigma: float, draw: Draw) -> np.ndarray:
        """Noise whose strength and grain size differ from segment to segment."""
        labels = self.segmenter.segments(image.astype(np.uint8), draw.rng)
        count = int(labels.max()) + 1
        draw.record("segments", count)
        strength = draw.rng.uniform(0.35, 1.6, count).astype(np.float32)
        fine = normals(image.shape, draw.rng)
        coarse = gaussian(fine, 1.1)
        coarse /= max(float(coarse.std()), 1e-6)
        mix = draw.rng.uniform(0, 1, count).astype(np.float32)
        local = gaussian(mix[labels], 2.0)[:, :, None]
        level = gaussian(strength[labels], 2.0)[:, :, None]
        # Over the whole image as strong as noise of the other kinds.
        level /= float(np.sqrt(np.mean(level**2)))
        return image + sigma * level * (fine + (coarse - fine) * local)
