"""Crops of photos as the web holds them, with and without marks."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from catalog.degradations import Degradation
from catalog.images import Rgb
from networks.degraders import load_degrader
from networks.watermark.fit.marks import lay_mark, words, write
from networks.watermark.fit.sources import load
from networks.watermark.network import STRIDE

SIDE = 224
MARKED = 0.6
DEGRADED = 0.3
SCENE_TEXT = 0.2
"""Shares of the crops."""
LEAST_CELLS = 10
"""Cells of a mark in a crop from which the crop counts as marked."""


@dataclass(frozen=True)
class Scene:
    """A crop and where its mark is."""

    image: Rgb
    """(SIDE, SIDE, 3)"""
    cells: np.ndarray
    """(SIDE / STRIDE, SIDE / STRIDE) bool"""


def make(pictures: Sequence[Path], fonts: Sequence[Path], rng: np.random.Generator) -> Scene:
    """A random scene."""
    image = _resized(load(pictures[int(rng.integers(len(pictures)))]), rng)
    if rng.random() < SCENE_TEXT:
        image = _sign(image, fonts, rng)
    if rng.random() < DEGRADED:
        degradation = list(Degradation)[int(rng.integers(len(Degradation)))]
        image = load_degrader(degradation).degrade(image, float(rng.uniform(1.0, 4.5)), rng)
    cover = np.zeros(image.shape[:2], bool)
    if rng.random() < MARKED:
        marked = lay_mark(image, fonts, rng)
        image, cover = marked.image, marked.coverage
    image = publish(image, rng)
    if image.shape[:2] != cover.shape:
        size = (image.shape[1], image.shape[0])
        cover = cv2.resize(cover.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    down, right = _corner(cover, rng)
    window = np.s_[down : down + SIDE, right : right + SIDE]
    near = cv2.dilate(cover[window].astype(np.float32), np.ones((5, 5), np.uint8))
    size = (SIDE // STRIDE, SIDE // STRIDE)
    return Scene(image[window], cv2.resize(near, size, interpolation=cv2.INTER_AREA) > 0.4)


def publish(image: Rgb, rng: np.random.Generator) -> Rgb:
    """As a site would serve it: sometimes smaller, mostly JPEG."""
    least = min(image.shape[:2])
    if rng.random() < 0.25:
        share = float(rng.uniform(min(max(0.6, (SIDE + 2) / least), 1.0), 1.0))
        image = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    if rng.random() < 0.2:
        return image
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=int(rng.integers(35, 98)))
    return np.asarray(Image.open(buffer))


def _resized(photo: Rgb, rng: np.random.Generator) -> Rgb:
    height, width = photo.shape[:2]
    share = float(rng.uniform(0.4, 1.0))
    tall = max(int(height * share), SIDE)
    wide = max(int(width * min(1.0, share * rng.uniform(0.7, 1.3))), SIDE)
    down, right = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
    crop = np.ascontiguousarray(photo[down : down + tall, right : right + wide])
    least = min(tall, wide)
    target = float(np.exp(rng.uniform(np.log(SIDE + 8), np.log(560))))
    share = min(target / least, 1.0)
    if share < 1:
        crop = cv2.resize(crop, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop


def _sign(image: Rgb, fonts: Sequence[Path], rng: np.random.Generator) -> Rgb:
    """A board or writing that is part of the scene: in perspective, lit and blurred as it is."""
    height, width = image.shape[:2]
    text = np.asarray(write(words(rng), int(rng.integers(24, 60)), fonts, rng), np.float32) / 255
    text = np.pad(text, int(rng.integers(4, 20)))
    tall, wide = text.shape
    size = float(rng.uniform(0.15, 0.6)) * width
    box = np.array([[0, 0], [1, 0], [1, tall / wide], [0, tall / wide]]) * size
    box = box + rng.normal(0, 0.12, (4, 2)) * size * np.array([0.6, tall / wide + 0.1])
    box = box + rng.uniform(0, 0.8, 2) * np.array([width, height])
    source = np.array([[0, 0], [wide, 0], [wide, tall], [0, tall]], np.float32)
    warp = cv2.getPerspectiveTransform(source, box.astype(np.float32))
    cover = cv2.warpPerspective(text, warp, (width, height), flags=cv2.INTER_AREA)
    board = cv2.warpPerspective(np.ones_like(text), warp, (width, height))
    if rng.random() < 0.4:
        board = np.zeros_like(board)
    values = image.astype(np.float32)
    light = cv2.GaussianBlur(values, (0, 0), 9).mean(axis=2, keepdims=True) / 128
    paint, ink = rng.uniform(20, 235, 3), rng.uniform(0, 255, 3)
    texture = 1 + rng.normal(0, 0.05, (height, width, 1))
    over = values * (1 - board[..., None]) + paint * board[..., None] * np.clip(light, 0.3, 1.6)
    over = over * (1 - cover[..., None]) + ink * cover[..., None] * np.clip(light, 0.3, 1.6)
    touched = cv2.dilate(np.maximum(cover, board), np.ones((5, 5), np.uint8))[..., None]
    soft = cv2.GaussianBlur(over * texture, (0, 0), float(rng.uniform(0.6, 2.0)))
    result = values * (1 - touched) + soft * touched
    return (np.clip(result, 0, 255) + 0.5).astype(np.uint8)


def _corner(cover: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Upper left corner of the crop: mostly one that holds a part of the mark."""
    free = (cover.shape[0] - SIDE, cover.shape[1] - SIDE)
    places = np.argwhere(cover) if rng.random() < 0.85 else np.zeros((0, 2))
    if not len(places):
        return int(rng.integers(free[0] + 1)), int(rng.integers(free[1] + 1))
    middle = places[int(rng.integers(len(places)))] - rng.integers(SIDE // 5, SIDE * 4 // 5, 2)
    return int(np.clip(middle[0], 0, free[0])), int(np.clip(middle[1], 0, free[1]))
