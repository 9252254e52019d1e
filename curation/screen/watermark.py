"""Whether something is written over a photo: watermarks, captions, date stamps."""

import cv2
import numpy as np

from catalog.images import Rgb

SIDE = 768


def watermark_probability(image: Rgb) -> float:
    """0 .. 1 for an (h, w, 3) uint8 image; 0 below 32 pixels a side."""
    if min(image.shape[:2]) < 32:
        return 0.0
    best = 0.0
    grey = cv2.cvtColor(_shrink(image), cv2.COLOR_RGB2GRAY)
    for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
        best = max([best, *_lines(_strokes(grey, kind))])
    return best


def _shrink(image: Rgb) -> Rgb:
    longer = max(image.shape[:2])
    if longer <= SIDE:
        return np.ascontiguousarray(image)
    share = SIDE / longer
    return cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)


def _strokes(grey: np.ndarray, kind: int) -> np.ndarray:
    """(h, w) uint8 mask of things thinner than 9 pixels that stand out of their surroundings."""
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (9, 9))
    hat = cv2.morphologyEx(grey, kind, kernel).astype(np.float32)
    around = cv2.blur(hat, (61, 61))
    return ((hat > 14) & (hat > 2.5 * around)).astype(np.uint8)


def _lines(strokes: np.ndarray) -> list[float]:
    """Probability of each group of strokes to be a line of writing."""
    _, _, stats, centres = cv2.connectedComponentsWithStats(strokes)
    width, height, area = (
        stats[:, index] for index in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA)
    )
    letter = (height >= 6) & (height <= 60) & (width <= 3 * height) & (area >= 8)
    letter[0] = False
    chosen = np.flatnonzero(letter)
    if len(chosen) < 5:
        return []
    found = []
    order = chosen[np.argsort(centres[chosen, 0])]
    x, y, tall = centres[order, 0], centres[order, 1], height[order].astype(float)
    for first in range(len(order)):
        same = (
            (np.abs(y - y[first]) < 0.35 * tall[first])
            & (np.abs(np.log(tall / tall[first])) < 0.35)
            & (x >= x[first])
        )
        members = np.flatnonzero(same)
        run = [members[0]]
        for index in members[1:]:
            if x[index] - x[run[-1]] > 2.2 * tall[first]:
                break
            run.append(index)
        if len(run) >= 5:
            even = float(np.std(np.log(tall[run])) + np.std(y[run]) / tall[first])
            found.append(float(1 / (1 + np.exp(-(0.9 * (len(run) - 6) - 6 * (even - 0.25))))))
    return found
