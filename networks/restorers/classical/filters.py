"""Filters that several methods share; images are float32 in 0 .. 1."""

import cv2
import numpy as np


def to_float(image: np.ndarray) -> np.ndarray:
    """uint8 to float32 in 0 .. 1."""
    return image.astype(np.float32) / np.float32(255)


def to_bytes(image: np.ndarray) -> np.ndarray:
    """Float in 0 .. 1 to uint8, clipped."""
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def luma(image: np.ndarray) -> np.ndarray:
    """(height, width) BT.601 luma of (height, width, 3) RGB."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def guided_filter(guide: np.ndarray, image: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """Edge-preserving smoothing of `image` by `guide` (He, Sun, Tang 2013), both (height, width).

    `eps` is a variance in squared units of `guide`.
    """
    size = (2 * radius + 1, 2 * radius + 1)
    mean_guide, mean_image = cv2.blur(guide, size), cv2.blur(image, size)
    variance = cv2.blur(guide * guide, size) - mean_guide * mean_guide
    covariance = cv2.blur(guide * image, size) - mean_guide * mean_image
    slope = covariance / (variance + np.float32(eps))
    offset = mean_image - slope * mean_guide
    return cv2.blur(slope, size) * guide + cv2.blur(offset, size)
