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
from networks.pyramid import STRIDE
from networks.watermark.fit import marks
from networks.watermark.fit.scenery import bars, sign
from networks.watermark.fit.sources import load, shares
from networks.watermark.kinds import KINDS

SIDE = 256
MARKED = 0.6
SECOND = 0.15
"""Of those, with a second mark."""
DEGRADED = 0.2
SCENE_TEXT = 0.25
BARS = 0.1
"""Shares of the crops."""
LARGEST = 560
"""The shorter side of the largest photo that crops are of."""
LEAST_CELLS = 10
"""Cells of a mark in a crop from which the crop counts as marked."""


@dataclass(frozen=True)
class Scene:
    """A crop and where its mark is."""

    image: Rgb
    """(side, side, 3)"""
    cells: np.ndarray
    """(side / STRIDE, side / STRIDE) uint8: 0, or 1 + the index in `KINDS` of the mark there"""


class Maker:
    """Makes scenes of some photos with some fonts."""

    def __init__(self, pictures: Sequence[Path], fonts: Sequence[Path], side: int = SIDE) -> None:
        self.pictures, self.fonts, self.side = list(pictures), list(fonts), side
        self._shares = shares(self.pictures)

    def make(self, rng: np.random.Generator, marked: bool | None = None) -> Scene:
        """A random scene; `marked` is drawn where it is None."""
        photo = load(self.pictures[int(rng.choice(len(self.pictures), p=self._shares))])
        marked = bool(rng.random() < MARKED) if marked is None else marked
        shrink = float(rng.uniform(0.6, 1.0)) if rng.random() < 0.25 else 1.0
        window = round(self.side / shrink)
        box, size = _frame(photo.shape[:2], window, rng)
        sheets = []
        if marked:
            count = 2 if rng.random() < SECOND else 1
            sheets = [marks.draw(size, self.fonts, rng) for _ in range(count)]
        down, right = _corner(sheets[0].cover if sheets else None, size, window, rng)
        scale = (box[2] - box[0]) / size[0]
        left, top = box[0] + right * scale, box[1] + down * scale
        end = round(window * scale)
        part = photo[round(top) : round(top) + end, round(left) : round(left) + end]
        method = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
        image = cv2.resize(np.ascontiguousarray(part), (window, window), interpolation=method)
        image = self._taken(image, rng)
        labels = np.zeros((window, window), np.uint8)
        for sheet in sheets:
            cut = marks.Sheet(
                np.ascontiguousarray(sheet.cover[down : down + window, right : right + window]),
                sheet.style,
            )
            laid = marks.lay(image, cut, rng)
            image = laid.image
            labels[laid.coverage] = 1 + KINDS.index(sheet.kind)
        return Scene(_published(image, self.side, rng), _cells(labels, self.side))

    def whole(self, rng: np.random.Generator, marked: bool) -> tuple[Rgb, bool]:
        """A whole photo, 400 to 700 pixels long, and whether a mark can be seen on it."""
        photo = load(self.pictures[int(rng.choice(len(self.pictures), p=self._shares))])
        share = min(float(rng.uniform(400, 700)) / max(photo.shape[:2]), 1.0)
        image = cv2.resize(photo, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        covered = False
        if marked:
            sheet = marks.draw((image.shape[1], image.shape[0]), self.fonts, rng)
            laid = marks.lay(image, sheet, rng)
            image, covered = laid.image, bool(laid.coverage.any())
        return (image if rng.random() < 0.25 else _jpeg(image, rng)), covered

    def _taken(self, image: Rgb, rng: np.random.Generator) -> Rgb:
        """The photo as it was before somebody wrote over it."""
        if rng.random() < 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
        if rng.random() < SCENE_TEXT:
            image = sign(image, self.fonts, rng)
        if rng.random() < BARS:
            image = bars(image, rng)
        if rng.random() < DEGRADED:
            degradation = list(Degradation)[int(rng.integers(len(Degradation)))]
            image = load_degrader(degradation).degrade(image, float(rng.uniform(1.0, 4.5)), rng)
        return _jpeg(image, rng) if rng.random() < 0.4 else image


def _frame(
    shape: tuple[int, ...], window: int, rng: np.random.Generator
) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """Which part of a photo is shown (left, top, right, bottom), and at what size it is."""
    height, width = shape[:2]
    share = float(rng.uniform(0.5, 1.0))
    tall = int(height * share)
    wide = int(width * min(1.0, share * rng.uniform(0.7, 1.3)))
    least = min(tall, wide)
    target = np.exp(rng.uniform(np.log(window + 8), np.log(max(LARGEST, window + 9))))
    target = max(min(target, least * 1.25), window + 2)
    left, top = int(rng.integers(width - wide + 1)), int(rng.integers(height - tall + 1))
    size = (max(round(wide * target / least), window), max(round(tall * target / least), window))
    return (left, top, left + wide, top + tall), size


def _corner(
    cover: np.ndarray | None, size: tuple[int, int], window: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Upper left corner (row, column) of the crop: mostly one that holds a part of the mark."""
    free = (size[1] - window, size[0] - window)
    rows = np.flatnonzero((cover > 90).any(axis=1)) if cover is not None else np.zeros(0, int)
    if cover is None or not len(rows) or rng.random() > 0.9:
        return int(rng.integers(free[0] + 1)), int(rng.integers(free[1] + 1))
    row = int(rows[int(rng.integers(len(rows)))])
    columns = np.flatnonzero(cover[row] > 90)
    place = np.array([row, columns[int(rng.integers(len(columns)))]])
    corner = place - rng.integers(window // 6, window * 5 // 6, 2)
    return int(np.clip(corner[0], 0, free[0])), int(np.clip(corner[1], 0, free[1]))


def _cells(labels: np.ndarray, side: int) -> np.ndarray:
    """The kind by cell, for cells that a mark, a pixel or two wider, covers to 40 %."""
    near = cv2.dilate((labels > 0).astype(np.float32), np.ones((5, 5), np.uint8))
    size = (side // STRIDE, side // STRIDE)
    covered = cv2.resize(near, size, interpolation=cv2.INTER_AREA) > 0.4
    kinds = cv2.dilate(labels, np.ones((9, 9), np.uint8))
    return np.where(covered, cv2.resize(kinds, size, interpolation=cv2.INTER_NEAREST), 0)


def _published(image: Rgb, side: int, rng: np.random.Generator) -> Rgb:
    """As a site would serve it: sometimes smaller, mostly JPEG."""
    if image.shape[0] != side:
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return image if rng.random() < 0.25 else _jpeg(image, rng)


def _jpeg(image: Rgb, rng: np.random.Generator) -> Rgb:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=int(rng.integers(35, 98)))
    return np.asarray(Image.open(buffer))
