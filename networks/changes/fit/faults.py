"""Objects added, removed and replaced, with the mask of what changed."""

from dataclasses import dataclass

import cv2
import numpy as np

from catalog.images import Rgb

SIZES = (0.06, 0.3)
"""Half axes of an object, as a share of the image's shorter side."""
LEAST_CHANGE = 7.0
"""Mean change over the mask, grey levels, below which nobody would see the object."""
_TRIES = 5


@dataclass(frozen=True)
class Change:
    """A changed photo."""

    image: Rgb
    mask: np.ndarray
    """(h, w) float32, 0 .. 1: how much of each pixel is new."""


def change(image: Rgb, other: Rgb, rng: np.random.Generator) -> Change | None:
    """One change at a random place; None where no try is visible."""
    make = _pasted if rng.random() < 0.5 else _removed
    for _ in range(_TRIES):
        mask = _mask(image.shape[:2], rng)
        if rng.random() < 0.15:
            mask = _border(image.shape[:2], rng)
        content = make(image, other, mask, rng)
        soft = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.5, 2.0)))[..., None]
        new = (image * (1 - soft) + content * soft + 0.5).astype(np.uint8)
        seen = np.abs(new.astype(np.float32) - image).mean(axis=2)[mask > 0.5]
        if seen.size and seen.mean() >= LEAST_CHANGE:
            return Change(new, mask)
    return None


def _mask(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    height, width = shape
    radius = float(np.exp(rng.uniform(*np.log(SIZES)))) * min(shape)
    centre = np.array([rng.uniform(0.08, 0.92) * width, rng.uniform(0.08, 0.92) * height])
    mask = np.zeros(shape, np.uint8)
    kind = rng.random()
    if kind < 0.4:
        axes = (radius * rng.uniform(0.7, 1.3, 2)).astype(int)
        angle = float(rng.uniform(0, 180))
        cv2.ellipse(mask, centre.astype(int).tolist(), axes.tolist(), angle, 0, 360, 255, -1)
    else:
        count = 4 if kind < 0.6 else int(rng.integers(6, 14))
        angles = np.sort(rng.uniform(0, 2 * np.pi, count))
        if kind < 0.6:  # boxes
            angles = np.pi / 4 + np.arange(4) * np.pi / 2 + rng.uniform(-0.15, 0.15)
        lengths = radius * (1.25 if kind < 0.6 else 1) * rng.uniform(0.7, 1.3, count)
        corners = centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * lengths[:, None]
        cv2.fillPoly(mask, [corners.astype(np.int32)], 255)
    return mask.astype(np.float32) / 255


def _border(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A band along one side, as a cut-off or painted border."""
    mask = np.zeros(shape, np.float32)
    wide = max(int(rng.uniform(0.04, 0.15) * min(shape)), 4)
    views = (mask[:wide], mask[-wide:], mask[:, :wide], mask[:, -wide:])
    views[int(rng.integers(4))][...] = 1
    return mask


def _pasted(image: Rgb, other: Rgb, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A part of another photo, often in the tones of this one."""
    height, width = image.shape[:2]
    share = max(height / other.shape[0], width / other.shape[1]) * float(rng.uniform(1.0, 1.8))
    size = (max(round(other.shape[1] * share), width), max(round(other.shape[0] * share), height))
    large = cv2.resize(other, size, interpolation=cv2.INTER_AREA if share < 1 else cv2.INTER_CUBIC)
    down, right = rng.integers(0, [size[1] - height + 1, size[0] - width + 1])
    content = large[down : down + height, right : right + width].astype(np.float32)
    if rng.random() < 0.5:
        inside = mask > 0.5
        if inside.any():
            here, there = image[inside].astype(np.float32), content[inside]
            content = content + (here.mean(axis=0) - there.mean(axis=0)) * rng.uniform(0.5, 1.0)
    return np.clip(content, 0, 255)


def _removed(image: Rgb, other: Rgb, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What was there is painted over, from its surroundings."""
    wide = cv2.dilate(mask, np.ones((3, 3), np.uint8))
    how = rng.random()
    if how < 0.6:
        code = cv2.INPAINT_TELEA if how < 0.3 else cv2.INPAINT_NS
        return cv2.inpaint(image, (wide > 0).astype(np.uint8), 5, code).astype(np.float32)
    if how < 0.8:  # a copy of another place
        height, width = image.shape[:2]
        step = rng.integers([height // 6, width // 6], [height * 5 // 6, width * 5 // 6])
        return np.roll(image, step, axis=(0, 1)).astype(np.float32)
    keep = 1 - wide
    sigma = float(rng.uniform(0.05, 0.15)) * min(mask.shape)
    known = cv2.GaussianBlur(keep, (0, 0), sigma)[..., None] + 1e-4
    filled = cv2.GaussianBlur(image * keep[..., None].astype(np.float32), (0, 0), sigma) / known
    return np.clip(filled + rng.normal(0, rng.uniform(0, 3), image.shape), 0, 255)
