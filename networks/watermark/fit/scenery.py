"""What looks like a mark and is part of the scene: boards with writing, wires, fences, panes."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from catalog.images import Rgb
from networks.watermark.fit.writing import words, write


def sign(image: Rgb, fonts: Sequence[Path], rng: np.random.Generator) -> Rgb:
    """A board or writing on a thing: in perspective, lit and blurred as the (h, w, 3) scene is."""
    height, width = image.shape[:2]
    text = np.asarray(write(words(rng), int(rng.integers(24, 60)), fonts, rng), np.float32) / 255
    text = np.pad(text, int(rng.integers(4, 20)))
    tall, wide = text.shape
    size = float(rng.uniform(0.15, 0.7)) * width
    box = np.array([[0, 0], [1, 0], [1, tall / wide], [0, tall / wide]]) * size
    box = box + rng.normal(0, 0.12, (4, 2)) * size * np.array([0.6, tall / wide + 0.1])
    box = box + rng.uniform(0, 0.8, 2) * np.array([width, height])
    source = np.array([[0, 0], [wide, 0], [wide, tall], [0, tall]], np.float32)
    warp = cv2.getPerspectiveTransform(source, box.astype(np.float32))
    cover = cv2.warpPerspective(text, warp, (width, height), flags=cv2.INTER_AREA)
    board = cv2.warpPerspective(np.ones_like(text), warp, (width, height))
    if rng.random() < 0.4:
        board = np.zeros_like(board)
    paint = rng.uniform(20, 235, 3).astype(np.float32)
    ink = rng.uniform(0, 255, 3).astype(np.float32)
    return _set_in(image, [(board, paint), (cover, ink)], float(rng.uniform(0.6, 2.0)), rng)


def bars(image: Rgb, rng: np.random.Generator) -> Rgb:
    """Straight bars or wires, or two sets that cross, over a part of the (h, w, 3) scene."""
    height, width = image.shape[:2]
    cover = np.zeros((height, width), np.float32)
    line = int(rng.integers(1, 6))
    for _ in range(int(rng.integers(1, 3))):
        turn = float(rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])) + rng.normal(0, 0.04)
        along = np.array([np.cos(turn), np.sin(turn)]) * (height + width)
        place = rng.uniform(0.1, 0.9, 2) * (width, height)
        step = np.array([-np.sin(turn), np.cos(turn)]) * rng.uniform(8, 60)
        for index in range(int(rng.integers(1, 12))):
            middle = place + step * index * (1 + 0.03 * index)
            ends = np.clip([middle - along, middle + along], -4000, 4000).astype(int).tolist()
            cv2.line(cover, ends[0], ends[1], 1.0, line, cv2.LINE_AA)
    paint = rng.uniform(0, 255, 3).astype(np.float32)
    return _set_in(image, [(cover, paint)], float(rng.uniform(0.5, 1.5)), rng)


def _set_in(
    image: Rgb, layers: list[tuple[np.ndarray, np.ndarray]], blur: float, rng: np.random.Generator
) -> Rgb:
    """Layers of (coverage, colour), lit by the light around them, grained and blurred."""
    touched = cv2.dilate(np.max([cover for cover, _ in layers], axis=0), np.ones((5, 5), np.uint8))
    rows, columns = np.flatnonzero(touched.any(axis=1)), np.flatnonzero(touched.any(axis=0))
    if not len(rows):
        return image
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    values = image[part].astype(np.float32)
    light = np.clip(cv2.blur(values, (27, 27)).mean(axis=2, keepdims=True) / 128, 0.3, 1.6)
    over = values
    for cover, colour in layers:
        alpha = cover[part][..., None]
        over = over * (1 - alpha) + colour * alpha * light
    grain = 1 + np.float32(0.05) * rng.standard_normal((*over.shape[:2], 1), np.float32)
    soft = cv2.GaussianBlur(over * grain, (0, 0), blur)
    edge = touched[part][..., None]
    result = np.array(image)
    result[part] = np.clip(values * (1 - edge) + soft * edge + 0.5, 0, 255).astype(np.uint8)
    return result
