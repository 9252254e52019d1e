"""Marks of all sorts, drawn as coverage and laid over a photo.

The measurements are made on other marks: those of `curation.screen.marking`, whose two families of
fonts are not among the ones drawn with here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from catalog.images import Rgb
from networks.watermark.fit.writing import beside, logo, stacked, words, write
from networks.watermark.kinds import Kind

STYLES = {
    "corner": 0.19, "centre": 0.23, "tiled": 0.2, "caption": 0.12, "stamp": 0.08, "logo": 0.14,
    "scattered": 0.04,
}  # fmt: skip
_KINDS = {"caption": Kind.TEXT, "stamp": Kind.TEXT, "logo": Kind.LOGO}
_PALE = ("centre", "tiled", "scattered")
LEAST_CHANGE = 6.0
LEAST_CONTRAST = 0.3
"""A mark is laid only where it changes its pixels by `LEAST_CHANGE` grey levels in the mean, and by
`LEAST_CONTRAST` of the photo's own local deviation there: fainter ones nobody sees."""


@dataclass(frozen=True)
class Sheet:
    """A mark before it is laid over a photo."""

    cover: np.ndarray
    """(h, w) uint8, 255 where the mark is"""
    style: str

    @property
    def kind(self) -> Kind:
        """What the network is to call it."""
        return _KINDS.get(self.style, Kind.WATERMARK)


@dataclass(frozen=True)
class Marked:
    """A photo with a mark, and where it is."""

    image: Rgb
    coverage: np.ndarray
    """(h, w) bool, all False where no mark was laid since it could not be seen"""


def draw(size: tuple[int, int], fonts: Sequence[Path], rng: np.random.Generator) -> Sheet:
    """A mark of random style and size for a photo of `size`, (width, height)."""
    width, height = size
    style = str(rng.choice(list(STYLES), p=list(STYLES.values())))
    if style == "tiled":
        sheet = _tiled(size, fonts, rng)
    else:
        sheet = Image.new("L", size)
        for _ in range(int(rng.integers(2, 6)) if style == "scattered" else 1):
            piece = _piece(style, min(size), fonts, rng)
            piece.thumbnail((int(width * 0.96), int(height * 0.96)))
            sheet.paste(piece, _place(style, size, piece.size, rng), piece)
    if style in ("tiled", "centre") and rng.random() < 0.15:
        _lines(sheet, rng)
    return Sheet(np.asarray(sheet), style)


def _piece(kind: str, side: int, fonts: Sequence[Path], rng: np.random.Generator) -> Image.Image:
    spans = {
        "centre": (0.05, 0.3), "caption": (0.035, 0.12), "logo": (0.03, 0.07), "tiled": (0.03, 0.12)
    }  # fmt: skip
    low, high = spans.get(kind, (0.026, 0.09))
    hollow = 0.18 if kind in _PALE else 0.05
    size = max(int(side * np.exp(rng.uniform(np.log(low), np.log(high)))), 9)
    if kind == "stamp":
        text = "".join(str(rng.choice(list("0123456789:/. '"))) for _ in range(10))
    else:
        text = words(rng)
    piece = write(text, size, fonts, rng, hollow)
    if kind in ("caption", "corner", "centre") and rng.random() < 0.25:
        piece = stacked(piece, write(words(rng), max(size * 2 // 3, 9), fonts, rng, hollow))
    if kind == "logo" or rng.random() < 0.12:
        sign = logo(max(int(size * rng.uniform(1.5, 5)), 14), rng)
        piece = sign if rng.random() < 0.35 else beside(sign, piece)
    slanted = {"centre": 0.45, "scattered": 0.5, "logo": 0.1}.get(kind, 0.04)
    if rng.random() < slanted:
        turn = float(rng.uniform(-60, 60)) if rng.random() < 0.8 else 90.0
        piece = piece.rotate(turn, Image.Resampling.BICUBIC, expand=True)
    return piece


def _tiled(size: tuple[int, int], fonts: Sequence[Path], rng: np.random.Generator) -> Image.Image:
    width, height = size
    piece = _piece("tiled", min(size), fonts, rng)
    board = Image.new("L", (int(1.5 * max(size)),) * 2)
    step_x = int(piece.width * rng.uniform(1.1, 2.2)) + 4
    step_y = int(piece.height * rng.uniform(1.5, 5)) + 6
    shift = float(rng.choice([0.0, 0.5]))
    for row, y in enumerate(range(0, board.height, step_y)):
        for x in range(-int(row % 2 * shift * step_x), board.width, step_x):
            board.paste(piece, (x, y))
    turn = float(rng.choice([0.0, 30.0, 45.0, -30.0, -45.0])) + float(rng.normal(0, 4))
    if rng.random() < 0.25:
        turn = 0.0
    board = board.rotate(turn, Image.Resampling.BILINEAR)
    left, top = (board.width - width) // 2, (board.height - height) // 2
    return board.crop((left, top, left + width, top + height))


def _lines(sheet: Image.Image, rng: np.random.Generator) -> None:
    """The cross or the grid that agencies draw over previews, behind the writing."""
    width, height = sheet.size
    board = Image.new("L", sheet.size)
    draw_ = ImageDraw.Draw(board)
    line, value = int(rng.integers(1, 4)), int(rng.integers(90, 256))
    if rng.random() < 0.5:
        draw_.line((0, 0, width, height), value, line)
        draw_.line((0, height, width, 0), value, line)
    else:
        step = int(min(sheet.size) * rng.uniform(0.15, 0.4))
        for x in range(-height, width + height, step):
            draw_.line((x, 0, x + height, height), value, line)
            draw_.line((x, height, x + height, 0), value, line)
    sheet.paste(board, (0, 0), sheet.point(lambda covered: 255 - covered))


def _place(
    kind: str, size: tuple[int, int], piece: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int]:
    free_x, free_y = max(size[0] - piece[0], 0), max(size[1] - piece[1], 0)
    margin = rng.uniform(0, 0.07) * min(size)
    if kind == "centre":
        return int(free_x * rng.uniform(0.3, 0.7)), int(free_y * rng.uniform(0.2, 0.8))
    if kind in ("scattered", "logo") and rng.random() < 0.6:
        return int(free_x * rng.random()), int(free_y * rng.random())
    x = rng.choice([min(margin, free_x), max(free_x - margin, 0), free_x / 2])
    y = rng.choice([min(margin, free_y), max(free_y - margin, 0)])
    return int(x), int(y)


def lay(photo: Rgb, sheet: Sheet, rng: np.random.Generator) -> Marked:
    """Lay a mark (its `cover` of the photo's size) over an (h, w, 3) uint8 `photo`."""
    where = sheet.cover > 90
    nothing = Marked(photo, np.zeros_like(where))
    if not where.any():
        return nothing
    cover = sheet.cover.astype(np.float32) / 255
    values = photo.astype(np.float32)
    pale = sheet.style in _PALE
    opacity = float(rng.uniform(0.15, 0.85) if pale else rng.uniform(0.4, 1.0))
    colour = _colour(sheet.style, rng)
    ground = values[where].mean(axis=0)
    if np.abs(colour - ground).mean() * opacity < 30:
        colour = np.full(3, 8.0 if ground.mean() > 128 else 250.0, np.float32)
    values = _backed(values, cover, colour, opacity, pale, rng)
    alpha = (cover * opacity)[:, :, None]
    blended = values * (1 - alpha) + colour * alpha
    image = np.clip(blended + 0.5, 0, 255).astype(np.uint8)
    luma = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    busy = (luma - cv2.blur(luma, (15, 15)))[cv2.dilate(cover, np.ones((5, 5))) > 0].std()
    change = np.abs(image.astype(np.int16) - photo)[where].mean()
    return Marked(image, where) if change >= LEAST_CHANGE + LEAST_CONTRAST * busy else nothing


def _backed(
    values: np.ndarray,
    cover: np.ndarray,
    colour: np.ndarray,
    opacity: float,
    pale: bool,
    rng: np.random.Generator,
) -> np.ndarray:
    """What is under the writing: often nothing, or a shadow, an edge, a plate."""
    style = rng.random()
    other = 255 - colour
    if style < 0.25:
        # A shadow, or the light and dark sides of an embossed mark.
        step = int(rng.integers(1, 4))
        shade = np.roll(cover, (step, step), (0, 1)) * np.float32(opacity * rng.uniform(0.3, 1.0))
        return values * (1 - shade[:, :, None]) + other * shade[:, :, None]
    if style < 0.38:
        around = cv2.dilate(cover, np.ones((3, 3), np.uint8)) * np.float32(opacity)
        return values * (1 - around[:, :, None]) + other * around[:, :, None]
    if style < 0.45 and not pale:
        where = cover > 0
        rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
        pad = int(rng.integers(2, 8))
        plate = np.s_[
            max(rows[0] - pad, 0) : rows[-1] + pad, max(columns[0] - pad, 0) : columns[-1] + pad
        ]
        share = np.float32(rng.uniform(0.3, 1.0))
        values[plate] = values[plate] * (1 - share) + other * share
    return values


def _colour(kind: str, rng: np.random.Generator) -> np.ndarray:
    if kind == "stamp" and rng.random() < 0.7:
        return np.array([255, rng.uniform(80, 230), rng.uniform(0, 60)], np.float32)
    draw = rng.random()
    if draw < 0.5:
        return np.full(3, rng.uniform(225, 256), np.float32)
    if draw < 0.68:
        return np.full(3, rng.uniform(0, 45), np.float32)
    if draw < 0.8:
        return np.full(3, rng.uniform(0, 256), np.float32)
    return rng.uniform(0, 256, 3).astype(np.float32)
