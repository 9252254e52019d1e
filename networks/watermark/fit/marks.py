"""Marks of all sorts, drawn as coverage and laid over a photo.

The measurements are made on other marks: those of `curation.screen.marking`, whose two families of
fonts are not among the ones drawn with here.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from catalog.images import Rgb

KINDS = {
    "corner": 0.2, "centre": 0.2, "tiled": 0.22, "caption": 0.12, "stamp": 0.06, "logo": 0.1,
    "lines": 0.04, "scattered": 0.06,
}  # fmt: skip
LEAST_CHANGE = 5.0
"""Mean change in grey levels below which a mark is not visible, and not labelled."""

_WORDS = (
    "photo", "image", "studio", "copyright", "stock", "sample", "preview", "draft", "archive",
    "gallery", "pictures", "media", "news", "travel", "nature", "art", "press", "creative", "proof",
    "the", "of", "by", "and", "sale", "summer", "winter", "free", "visual", "hub", "world",
)  # fmt: skip


@dataclass(frozen=True)
class Marked:
    """A photo with a mark, and where it is."""

    image: Rgb
    coverage: np.ndarray
    """(h, w) bool, all False where the mark cannot be seen"""


def lay_mark(photo: Rgb, fonts: Sequence[Path], rng: np.random.Generator) -> Marked:
    """Draw a mark of random kind, size, colour and opacity over an (h, w, 3) uint8 `photo`."""
    height, width = photo.shape[:2]
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    if kind == "tiled":
        sheet = _tiled((width, height), fonts, rng)
    elif kind == "lines":
        sheet = _lines((width, height), rng)
    else:
        sheet = Image.new("L", (width, height))
        for _ in range(int(rng.integers(2, 6)) if kind == "scattered" else 1):
            piece = _piece(kind, min(width, height), fonts, rng)
            piece.thumbnail((int(width * 0.96), int(height * 0.96)))
            sheet.paste(piece, _place(kind, (width, height), piece.size, rng), piece)
    return _blend(photo, np.asarray(sheet, np.float32) / 255, kind, rng)


def write(text: str, size: int, fonts: Sequence[Path], rng: np.random.Generator) -> Image.Image:
    """Coverage of a text, cut to its size."""
    font = ImageFont.truetype(fonts[int(rng.integers(len(fonts)))], size)
    outline = int(rng.integers(1, max(2, size // 14 + 1))) if rng.random() < 0.08 else 0
    box = font.getbbox(text, stroke_width=outline)
    left, top = int(np.floor(box[0])), int(np.floor(box[1]))
    wide, tall = int(np.ceil(box[2])) - left, int(np.ceil(box[3])) - top
    sheet = Image.new("L", (max(wide, 1) + 4, max(tall, 1) + 4))
    draw = ImageDraw.Draw(sheet)
    place = (2 - left, 2 - top)
    if outline:
        # Hollow letters: the contour without what is inside.
        draw.text(place, text, font=font, fill=255, stroke_width=outline, stroke_fill=255)
        draw.text(place, text, font=font, fill=0)
    else:
        draw.text(place, text, font=font, fill=255)
    return sheet


def words(rng: np.random.Generator) -> str:
    """A text as marks have it: names, addresses, dates, and letters that mean nothing."""
    kind = rng.random()
    if kind < 0.35:
        count = int(rng.integers(1, 4))
        text = " ".join(str(rng.choice(_WORDS)) for _ in range(count))
    elif kind < 0.8:
        text = " ".join(
            "".join(rng.choice(list(string.ascii_lowercase), int(rng.integers(2, 10))))
            for _ in range(int(rng.integers(1, 4)))
        )
    else:
        text = "".join(rng.choice(list(string.digits + "/:-. "), int(rng.integers(6, 14))))
    text = (text, text.title(), text.upper(), text.capitalize())[int(rng.integers(4))]
    signs = ("", "", "", "© ", "(c) ", "@", "#", "www.", "Photo: ")
    ends = ("", "", "", "", ".com", ".org", " 2019", "™", "®")
    return (str(rng.choice(signs)) + text.strip() + str(rng.choice(ends))) or "sample"


def logo(side: int, rng: np.random.Generator) -> Image.Image:
    """Coverage of a random sign: rings, discs, stars, polygons, bars and arcs, some cut out."""
    sheet = Image.new("L", (side, side))
    draw = ImageDraw.Draw(sheet)
    middle = side / 2
    for index in range(int(rng.integers(1, 5))):
        size = float(rng.uniform(0.3, 0.95)) * middle
        fill = 0 if index and rng.random() < 0.35 else 255
        line = max(1, int(side * rng.uniform(0.03, 0.12)))
        box = (middle - size, middle - size, middle + size, middle + size)
        shape = int(rng.integers(6))
        if shape == 0:
            draw.ellipse(box, outline=fill, width=line)
        elif shape == 1:
            draw.ellipse(box, fill=fill)
        elif shape in (2, 3):
            count = int(rng.integers(3, 9))
            turn = rng.uniform(0, 2 * np.pi)
            angles = turn + np.arange(2 * count) * np.pi / count
            radii = np.where(np.arange(2 * count) % 2, rng.uniform(0.35, 0.95), 1.0) * size
            draw.polygon(
                [
                    (middle + r * np.cos(a), middle + r * np.sin(a))
                    for r, a in zip(radii, angles, strict=True)
                ],
                fill=fill,
            )
        elif shape == 4:
            draw.arc(box, float(rng.uniform(0, 180)), float(rng.uniform(200, 360)), fill, line)
        else:
            draw.rectangle((box[0], middle - line, box[2], middle + line), fill=fill)
    return sheet


def _piece(kind: str, side: int, fonts: Sequence[Path], rng: np.random.Generator) -> Image.Image:
    spans = {"centre": (0.06, 0.22), "caption": (0.035, 0.1), "logo": (0.03, 0.07)}
    low, high = spans.get(kind, (0.026, 0.08))
    size = max(int(side * np.exp(rng.uniform(np.log(low), np.log(high)))), 9)
    if kind == "stamp":
        text = "".join(str(rng.choice(list("0123456789:/. '"))) for _ in range(10))
    else:
        text = words(rng)
    piece = write(text, size, fonts, rng)
    if kind in ("caption", "corner", "centre") and rng.random() < 0.25:
        piece = _stacked(piece, write(words(rng), max(size * 2 // 3, 9), fonts, rng))
    if kind == "logo" or rng.random() < 0.12:
        sign = logo(max(int(size * rng.uniform(1.5, 5)), 14), rng)
        piece = sign if rng.random() < 0.35 else _beside(sign, piece)
    slanted = {"centre": 0.45, "scattered": 0.5, "logo": 0.1}.get(kind, 0.04)
    if rng.random() < slanted:
        turn = float(rng.uniform(-60, 60)) if rng.random() < 0.8 else 90.0
        piece = piece.rotate(turn, Image.Resampling.BICUBIC, expand=True)
    return piece


def _tiled(size: tuple[int, int], fonts: Sequence[Path], rng: np.random.Generator) -> Image.Image:
    width, height = size
    piece = _piece("tile", min(size), fonts, rng)
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


def _lines(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """The cross or the grid that agencies draw over previews."""
    width, height = size
    sheet = Image.new("L", size)
    draw = ImageDraw.Draw(sheet)
    line = int(rng.integers(1, 4))
    if rng.random() < 0.5:
        draw.line((0, 0, width, height), 255, line)
        draw.line((0, height, width, 0), 255, line)
        return sheet
    step = int(min(size) * rng.uniform(0.15, 0.4))
    for x in range(-height, width + height, step):
        draw.line((x, 0, x + height, height), 255, line)
        draw.line((x, height, x + height, 0), 255, line)
    return sheet


def _stacked(first: Image.Image, second: Image.Image) -> Image.Image:
    both = Image.new("L", (max(first.width, second.width), first.height + second.height + 2))
    both.paste(first, ((both.width - first.width) // 2, 0))
    both.paste(second, ((both.width - second.width) // 2, first.height + 2))
    return both


def _beside(first: Image.Image, second: Image.Image) -> Image.Image:
    both = Image.new("L", (first.width + second.width + 4, max(first.height, second.height)))
    both.paste(first, (0, (both.height - first.height) // 2))
    both.paste(second, (first.width + 4, (both.height - second.height) // 2))
    return both


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


def _blend(photo: Rgb, cover: np.ndarray, kind: str, rng: np.random.Generator) -> Marked:
    values: np.ndarray = photo.astype(np.float32)
    pale = kind in ("centre", "tiled", "lines", "scattered")
    opacity = float(rng.uniform(0.15, 0.85) if pale else rng.uniform(0.4, 1.0))
    colour = _colour(kind, rng)
    where = cover > 0.35
    ground = values[where].mean(axis=0) if where.any() else np.full(3, 128.0)
    if np.abs(colour - ground).mean() * opacity < 30:
        colour = np.full(3, 8.0 if ground.mean() > 128 else 250.0, np.float32)
    style = rng.random()
    if style < 0.22:
        # A shadow, or the light and dark sides of an embossed mark.
        step = int(rng.integers(1, 4))
        shade = np.roll(cover, (step, step), (0, 1)) * opacity * float(rng.uniform(0.3, 1.0))
        values = values * (1 - shade[:, :, None]) + (255 - colour) * shade[:, :, None]
    elif style < 0.34:
        around = cv2.dilate(cover, np.ones((3, 3), np.uint8)) * opacity
        values = values * (1 - around[:, :, None]) + (255 - colour) * around[:, :, None]
    elif style < 0.42 and not pale and where.any():
        # A plate below the writing.
        rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
        pad = int(rng.integers(2, 8))
        plate = np.s_[
            max(rows[0] - pad, 0) : rows[-1] + pad, max(columns[0] - pad, 0) : columns[-1] + pad
        ]
        share = float(rng.uniform(0.3, 1.0))
        values[plate] = values[plate] * (1 - share) + (255 - colour) * share
    alpha = (cover * opacity)[:, :, None]
    blended = values * (1 - alpha) + colour * alpha
    image = (np.clip(blended, 0, 255) + 0.5).astype(np.uint8)
    change = np.abs(image.astype(np.int16) - photo)[where].mean() if where.any() else 0.0
    return Marked(image, where if change >= LEAST_CHANGE else np.zeros_like(where))


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
