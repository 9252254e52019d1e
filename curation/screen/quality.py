"""Whether a photo is good enough to synthesise from: resolution, noise, sharpness, coding.

Measured beside the judge, since a VLM sees an image at 512 x 512 pixels, where these do not show.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from catalog.images import Rgb
from catalog.settings.screen import Screen
from curation.fingerprint import blockiness, grain

LEAST_SIDE = 64
"""Pixels; below this nothing is measured."""

GRID = 32
"""Means a side by which an image is found to be blank."""


@dataclass(frozen=True)
class Quality:
    """Of one image at its full size."""

    side: int
    """Shorter side, pixels."""
    noise: float
    """Standard deviation in the even parts, grey levels."""
    softness: float
    """Width of the sharper edges (the tenth percentile of blur sigmas), pixels."""
    blockiness: float
    """Steps at the borders of 8 x 8 blocks over those inside, less 1."""
    relief: float
    """How far the colours depart from one that is even or changes evenly, levels 0 .. 255."""

    def fault(self, settings: Screen) -> str | None:
        """The first reason why it is no clean source, or None."""
        if self.side < settings.clean_min_side:
            return "clean-but-small"
        if self.noise > settings.clean_max_noise:
            return "clean-but-noisy"
        if self.softness > settings.clean_max_softness:
            return "clean-but-soft"
        if self.blockiness > settings.clean_max_blockiness:
            return "clean-but-compressed"
        return None


def measure_quality(image: Rgb) -> Quality:
    """Of an (h, w, 3) uint8 image."""
    image = np.ascontiguousarray(image)
    side, relief = min(image.shape[:2]), _relief(image)
    if side < LEAST_SIDE:
        return Quality(side, 0.0, 0.0, 0.0, relief)
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return Quality(side, grain(luma), _softness(luma), blockiness(luma), relief)


def _relief(image: Rgb) -> float:
    """Span of what a plane fitted to a channel leaves over, at `GRID` x `GRID` means; the largest.

    The means take noise and a codec's traces away.
    """
    height, width = image.shape[:2]
    means = cv2.resize(image, (min(width, GRID), min(height, GRID)), interpolation=cv2.INTER_AREA)
    rows, columns = np.indices(means.shape[:2]).reshape(2, -1)
    plane = np.stack([np.ones(rows.size), rows, columns], axis=1)
    levels = means.reshape(-1, 3).astype(np.float64)
    rest = levels - plane @ np.linalg.lstsq(plane, levels, rcond=None)[0]
    return float(np.ptp(rest, axis=0).max())


def _softness(luma: np.ndarray) -> float:
    """Zhuo and Sim 2011: the ratio of an edge's gradient before and after a known blur."""
    values = cv2.GaussianBlur(luma.astype(np.float32), (0, 0), 0.6)
    first, second = _gradient(values), _gradient(cv2.GaussianBlur(values, (0, 0), 1.5))
    strong = first > max(float(np.percentile(first, 92)), 5.0)
    if int(strong.sum()) < 32:
        return 0.0
    ratio = first[strong] / np.maximum(second[strong], 1e-3)
    return float(np.percentile(1.5 / np.sqrt(np.maximum(ratio**2 - 1, 0.03)), 10))


def _gradient(values: np.ndarray) -> np.ndarray:
    return cv2.magnitude(cv2.Sobel(values, cv2.CV_32F, 1, 0), cv2.Sobel(values, cv2.CV_32F, 0, 1))
