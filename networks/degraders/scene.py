"""Depth and segments of a photo: pluggable, with defaults that need no weights."""

from typing import Protocol

import cv2
import numpy as np

from catalog.images import Rgb
from networks.degraders.fields import smooth_noise

_SIDE = 128


class DepthEstimator(Protocol):
    """Relative depth of a photo."""

    def depth(self, image: Rgb, rng: np.random.Generator) -> np.ndarray:
        """(h, w) float32, 0 near .. 1 far."""
        ...


class Segmenter(Protocol):
    """Regions of a photo."""

    def segments(self, image: Rgb, rng: np.random.Generator) -> np.ndarray:
        """(h, w) int32, labels from 0."""
        ...


def _small(image: Rgb) -> np.ndarray:
    height, width = image.shape[:2]
    factor = min(1.0, _SIDE / max(height, width))
    size = (max(8, round(width * factor)), max(8, round(height * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _guided(guide: np.ndarray, source: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """The guided filter of He et al. (2013) with a grey guide, both (h, w) float32 in 0..1."""
    size = (2 * radius + 1, 2 * radius + 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, size, borderType=cv2.BORDER_REFLECT)

    mean_guide, mean_source = mean(guide), mean(source)
    slope = (mean(guide * source) - mean_guide * mean_source) / (
        mean(guide * guide) - mean_guide**2 + epsilon
    )
    offset = mean_source - slope * mean_guide
    return mean(slope) * guide + mean(offset)


class PriorDepth:
    """Depth from priors of outdoor photos, refined along the image's edges.

    Upper rows are farther; what is bright, pale and smooth (sky) is far; a slow random component
    stands for what the priors cannot know. It is plausible, not measured.
    """

    def depth(self, image: Rgb, rng: np.random.Generator) -> np.ndarray:
        """(h, w) float32, 0 near .. 1 far."""
        small = _small(image)
        height, width = small.shape[:2]
        values = small.astype(np.float32) / 255.0
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0
        horizon = rng.uniform(0.15, 0.5)
        rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        ground = np.clip((1 - rows) / (1 - horizon), 0, 1) ** 1.5
        position = np.broadcast_to(ground, (height, width))
        texture = cv2.blur(np.abs(cv2.Laplacian(grey, cv2.CV_32F)), (9, 9))
        smooth = np.exp(-texture / 0.03)
        sky = smooth * grey * np.clip(1.3 - 1.6 * rows, 0, 1)
        pale = cv2.erode(values.min(axis=2), np.ones((5, 5), np.uint8))  # the dark channel
        rough = (
            0.5 * position
            + 0.3 * sky
            + 0.1 * pale
            + 0.1 * smooth_noise(height, width, 3, rng, octaves=1)
        ).astype(np.float32)
        fine = _guided(grey, cv2.GaussianBlur(rough, (0, 0), 2), 8, 1e-3)
        low, high = np.percentile(fine, [1, 99])
        depth = np.clip((fine - low) / max(high - low, 1e-3), 0, 1).astype(np.float32)
        return cv2.resize(depth, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)


class GraphSegmenter:
    """Felzenszwalb and Huttenlocher's segments of a small copy."""

    def segments(self, image: Rgb, rng: np.random.Generator) -> np.ndarray:
        """(h, w) int32, labels from 0."""
        from skimage.segmentation import felzenszwalb

        small = _small(image)
        labels = felzenszwalb(small, scale=200, sigma=0.8, min_size=60).astype(np.int32)
        return cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
