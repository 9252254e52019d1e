"""Lines of writing in an image: groups of letter-like strokes, and what is measured of each.

A watermark, a caption or a date stamp is a row of strokes of one height and one colour, at equal
distances along a straight line, in any direction. Measured are both polarities (lighter and darker
than the photo) at two sizes.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from catalog.images import Rgb

SIDES = (1024, 512)
"""Longer sides at which strokes up to nine pixels wide are looked for."""
MOST_LETTERS = 400
FEATURES = (
    "letters", "evenness", "straightness", "spacing", "contrast", "clarity", "colour_spread",
    "fill", "calm", "tilt",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line of writing, if it is one."""

    features: np.ndarray
    """(len(FEATURES),) float64"""
    box: tuple[float, float, float, float]
    """left, top, right, bottom as shares of the image"""


def find_lines(image: Rgb) -> list[Line]:
    """Candidates in an (h, w, 3) uint8 image of at least 32 pixels a side."""
    lines: list[Line] = []
    for side in SIDES:
        share = side / max(image.shape[:2])
        if share < 1:
            small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        elif side == SIDES[0]:
            small = np.ascontiguousarray(image)
        else:
            continue
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        for operation in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
            lines += _lines(small, grey, operation)
    return lines


def _lines(image: Rgb, grey: np.ndarray, operation: int) -> list[Line]:
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (11, 11))
    hat = cv2.morphologyEx(grey, operation, kernel)
    around = cv2.blur(hat, (41, 41)).astype(np.float32)
    strokes = ((hat > 8) & (hat > 2.2 * around)).astype(np.uint8)
    _, labels, stats, centres = cv2.connectedComponentsWithStats(strokes)
    width, height = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    area, size = stats[:, cv2.CC_STAT_AREA], np.maximum(width, height).astype(np.float64)
    fill = area / (width * height)
    letter = (size >= 6) & (size <= 90) & (area >= 10) & (fill > 0.12) & (fill < 0.95)
    letter &= np.minimum(width, height) >= 2
    letter[0] = False
    chosen = np.flatnonzero(letter)
    if len(chosen) < 4:
        return []
    if len(chosen) > MOST_LETTERS:
        strength = np.bincount(labels.ravel(), hat.ravel().astype(np.float64))[chosen]
        chosen = chosen[np.argsort(-strength / area[chosen])[:MOST_LETTERS]]
    points, sizes = centres[chosen], size[chosen]
    found = []
    used: set[tuple[int, ...]] = set()
    for run in _runs(points, sizes):
        key = tuple(sorted(run))
        if key not in used:
            used.add(key)
            members = chosen[list(run)]
            found.append(_measure(image, hat, around, labels, stats, centres, members))
    return found


def _runs(points: np.ndarray, sizes: np.ndarray) -> list[list[int]]:
    """Chains of letters of like size along straight lines, each from its first letter."""
    offset = points[None] - points[:, None]
    distance = np.hypot(offset[..., 0], offset[..., 1])
    alike = np.abs(np.log(sizes[None] / sizes[:, None])) < 0.75
    reach = 2.0 * np.maximum(sizes[None], sizes[:, None])
    near = alike & (distance < reach) & (distance > 0.3 * sizes[:, None])
    chains: list[list[int]] = []
    covered = np.zeros(len(points), int)
    for first in np.argsort(points[:, 0]):
        if covered[first] > 2:
            continue
        for second in np.flatnonzero(near[first] & (offset[first, :, 0] > 0)):
            chain = _extend([int(first), int(second)], points, sizes, offset, distance, near)
            if len(chain) >= 4:
                chains.append(chain)
                covered[chain] += 1
    chains.sort(key=len, reverse=True)
    return chains[:24]


def _extend(
    chain: list[int],
    points: np.ndarray,
    sizes: np.ndarray,
    offset: np.ndarray,
    distance: np.ndarray,
    near: np.ndarray,
) -> list[int]:
    while True:
        last = chain[-1]
        direction = points[last] - points[chain[max(0, len(chain) - 4)]]
        direction = direction / max(float(np.hypot(*direction)), 1e-6)
        along = offset[last] @ direction
        across = np.abs(offset[last] @ np.array([-direction[1], direction[0]]))
        height = float(np.median(sizes[chain]))
        fits = near[last] & (along > 0.2 * height) & (across < 0.4 * height)
        fits &= np.abs(np.log(sizes / height)) < 0.8
        fits[chain] = False
        following = np.flatnonzero(fits)
        if not len(following):
            return chain
        chain.append(int(following[distance[last][following].argmin()]))


def _measure(
    image: Rgb,
    hat: np.ndarray,
    around: np.ndarray,
    labels: np.ndarray,
    stats: np.ndarray,
    centres: np.ndarray,
    members: np.ndarray,
) -> Line:
    boxes = stats[members]
    left, top = int(boxes[:, 0].min()), int(boxes[:, 1].min())
    right = int((boxes[:, 0] + boxes[:, 2]).max())
    bottom = int((boxes[:, 1] + boxes[:, 3]).max())
    window = np.s_[top:bottom, left:right]
    mask = np.isin(labels[window], members)
    ring = (cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0) & (
        labels[window] == 0
    )
    inside = image[window][mask].astype(np.float64)
    strength = float(hat[window][mask].mean())
    sizes = np.maximum(boxes[:, 2], boxes[:, 3]).astype(np.float64)
    points = centres[members]
    middle = points - points.mean(axis=0)
    _, spread, axes = np.linalg.svd(middle, full_matrices=False)
    typical = float(np.median(sizes))
    steps = np.hypot(*np.diff(points, axis=0).T)
    ground = hat[window][ring].astype(np.float64)
    features = np.array(
        [
            np.log(len(members)),
            np.std(np.log(sizes)),
            spread[1] / np.sqrt(len(members)) / typical if len(spread) > 1 else 0.0,
            np.std(np.log(np.maximum(steps, 1.0))),
            np.log(strength + 1),
            np.log((strength + 1) / (around[window][mask].mean() + 1)),
            np.log(inside.std(axis=0).mean() + 1) - np.log(strength + 1),
            float((boxes[:, 4] / (boxes[:, 2] * boxes[:, 3])).mean()),
            np.log(ground.mean() + 1) if len(ground) else 0.0,
            abs(float(axes[0][1])),
        ]
    )
    height, width = hat.shape
    return Line(features, (left / width, top / height, right / width, bottom / height))
