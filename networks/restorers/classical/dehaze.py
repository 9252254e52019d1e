"""Dehazing by the dark channel prior."""

import cv2
import numpy as np

from networks.restorers.classical.filters import guided_filter, luma, to_bytes, to_float

OMEGA = 0.95
"""Share of the haze that is removed; He et al. keep 5 % so that distance still shows."""
LEAST_TRANSMISSION = 0.15


def restore(image: np.ndarray) -> np.ndarray:
    """He, Sun, Tang 2009, with the guided filter of 2013 for the transmission.

    I = J t + A (1 - t); A from the brightest 0.1 % of the dark channel, t = 1 - 0.95 dark(I / A).
    """
    hazy = to_float(image)
    side = max(3, round(min(hazy.shape[:2]) * 15 / 400) | 1)
    dark = _dark_channel(hazy, side)
    count = max(1, dark.size // 1000)
    haziest = np.argpartition(dark.ravel(), -count)[-count:]
    # The mean over the haziest pixels; a single brightest one is often a lamp or a white wall.
    light = np.maximum(hazy.reshape(-1, 3)[haziest].mean(axis=0), 0.1).astype(np.float32)
    coarse = 1 - OMEGA * _dark_channel(hazy / light, side)
    transmission = guided_filter(luma(hazy), coarse, 2 * side, 1e-3)
    transmission = np.clip(transmission, LEAST_TRANSMISSION, 1)[:, :, None]
    return to_bytes((hazy - light) / transmission + light)


def _dark_channel(image: np.ndarray, side: int) -> np.ndarray:
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
    return cv2.erode(image.min(axis=2), kernel)
