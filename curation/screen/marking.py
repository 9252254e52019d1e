"""A labelled set by script: photos with writing over them, as agencies, cameras and users do it.

Every mark can be seen: one that changes its pixels by less than the ground around it varies is laid
again, more opaque, since nobody can say where it is and nobody would publish it so.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from catalog.images import Rgb

WORDS = (
    "© Jane Doe Photography", "SAMPLE", "www.example.com", "stockphoto", "PREVIEW", "Do not copy",
    "2024:05:01 12:30", "12/08/2019", "Anna & Paul", "copyright 2023", "imagebank.example",
    "@travel.diary", "PROOF", "All rights reserved", "HOLIDAY SALE", "Photo: M. Weber",
)  # fmt: skip
UNOWNED = ("2024:05:01 12:30", "12/08/2019", "Anna & Paul", "HOLIDAY SALE")
"""Those that name no owner: dates and captions."""
STYLES = ("corner", "centre", "tiled", "stamp", "caption", "logo", "stock")
LEAST_CONTRAST = 0.9
"""Mean change of the marked pixels, over the deviation of the ground there plus 8 grey levels. A
person finds marks at 1 in a photo shown at its own size, with some search; not those at 0.7."""


@dataclass(frozen=True)
class Marked:
    """A photo with writing, and where."""

    image: Rgb
    mask: np.ndarray
    """(h, w) bool"""
    style: str
    text: str


def mark(photo: Rgb, rng: np.random.Generator) -> Marked:
    """Write over `photo` in a random style, size, colour and opacity."""
    height, width = photo.shape[:2]
    style = str(rng.choice(STYLES))
    text = str(rng.choice(WORDS))
    share = {
        "centre": (0.07, 0.16), "tiled": (0.035, 0.07), "caption": (0.05, 0.09),
        "stock": (0.1, 0.28),
    }  # fmt: skip
    size = max(int(rng.uniform(*share.get(style, (0.03, 0.065))) * min(height, width)), 11)
    sheet = Image.new("L", (width, height))
    tile = _write(text, size, rng)
    spans = {"centre": (0.35, 0.8), "tiled": (0.35, 0.8), "stock": (0.2, 0.5)}
    opacity = float(rng.uniform(*spans.get(style, (0.5, 1.0))))
    if style == "stock":
        sheet = _agency((width, height), tile, rng)
    elif style == "tiled":
        gap_x, gap_y = int(tile.width * 1.3), int(size * rng.uniform(3.5, 6))
        turn = float(rng.choice([0, 30, 45, -30, -45]))
        board = Image.new("L", (2 * max(width, height),) * 2)
        for row, y in enumerate(range(0, board.height, gap_y)):
            for x in range(-(row % 2) * gap_x // 2, board.width, gap_x):
                board.paste(tile, (x, y))
        board = board.rotate(turn, Image.Resampling.BILINEAR)
        left, top = (board.width - width) // 2, (board.height - height) // 2
        sheet = board.crop((left, top, left + width, top + height))
    else:
        if style == "centre" and rng.random() < 0.4:
            turn = float(rng.uniform(-45, 45))
            tile = tile.rotate(turn, Image.Resampling.BILINEAR, expand=True)
        tile.thumbnail((int(width * 0.9), int(height * 0.9)))
        sheet.paste(tile, _place(style, (width, height), tile.size, rng))
    if style == "logo":
        _ring(sheet, tile.size, rng)
    return Marked(*_blend(photo, sheet, style, opacity, rng), style, text)


def _agency(size: tuple[int, int], tile: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Large writing across the middle, often hollow, often slanted, at times with a cross."""
    width, height = size
    if rng.random() < 0.5:
        solid = np.pad(np.asarray(tile), 3)
        line = int(rng.integers(1, 3)) * 2 + 1
        tile = Image.fromarray(cv2.subtract(cv2.dilate(solid, np.ones((line, line))), solid))
    if rng.random() < 0.5:
        tile = tile.rotate(float(rng.uniform(-45, 45)), Image.Resampling.BILINEAR, expand=True)
    tile.thumbnail((int(width * 0.96), int(height * 0.96)))
    sheet = Image.new("L", size)
    if rng.random() < 0.3:
        draw = ImageDraw.Draw(sheet)
        draw.line((0, 0, width, height), 160, 2)
        draw.line((0, height, width, 0), 160, 2)
    places = [0.5] if rng.random() < 0.6 else [0.15, 0.85]
    for place in places:
        left, top = (width - tile.width) // 2, int((height - tile.height) * place)
        sheet.paste(tile, (left, top), tile)
    return sheet


def _write(text: str, size: int, rng: np.random.Generator) -> Image.Image:
    """White writing on black, cut to its size."""
    if rng.random() < 0.35:
        face = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX]))
        scale, thick = size / 22, max(1, round(size / 14))
        plain = text.replace("©", "(c)")
        (wide, tall), base = cv2.getTextSize(plain, face, scale, thick)
        canvas = np.zeros((tall + base + 4, wide + 4), np.uint8)
        cv2.putText(canvas, plain, (2, tall + 1), face, scale, 255, thick, cv2.LINE_AA)
        return Image.fromarray(canvas)
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text)
    canvas_image = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(canvas_image).text((2 - left, 2 - top), text, font=font, fill=255)
    return canvas_image


def _place(
    style: str, size: tuple[int, int], tile: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int]:
    free_x, free_y = size[0] - tile[0], size[1] - tile[1]
    margin = int(0.03 * min(size))
    if style == "centre":
        x, y = free_x / 2, free_y * rng.uniform(0.3, 0.7)
    elif style == "caption":
        x, y = free_x / 2, rng.choice([margin, free_y - margin])
    else:
        x, y = rng.choice([margin, free_x - margin]), rng.choice([margin, free_y - margin])
    return max(int(x), 0), max(int(y), 0)


def _ring(sheet: Image.Image, tile: tuple[int, int], rng: np.random.Generator) -> None:
    """A round sign anywhere, beside the writing."""
    side = int(tile[1] * rng.uniform(2, 4))
    x = int(rng.integers(0, max(sheet.width - side, 1)))
    y = int(rng.integers(0, max(sheet.height - side, 1)))
    line = max(side // 12, 2)
    draw = ImageDraw.Draw(sheet)
    draw.ellipse((x, y, x + side, y + side), outline=255, width=line)
    draw.polygon(
        [(x + side // 2, y + side // 5), (x + side // 4, y + side * 3 // 4),
         (x + side * 3 // 4, y + side * 3 // 4)], fill=255,
    )  # fmt: skip


def _blend(
    photo: Rgb, sheet: Image.Image, style: str, opacity: float, rng: np.random.Generator
) -> tuple[Rgb, np.ndarray]:
    alpha = np.asarray(sheet, np.float32)[:, :, None] / 255
    values = photo.astype(np.float32)
    colours = [(255, 255, 255), (245, 245, 245), (20, 20, 20), (200, 200, 200)]
    colour = np.array(colours[int(rng.integers(0, len(colours)))], np.float32)
    if style == "stamp":
        colour = np.array([255, rng.uniform(90, 200), 30], np.float32)
    where = alpha[:, :, 0] > 0.4
    # Nobody writes white on white: take the other end where the ground is too near.
    ground = values[where].mean() if where.any() else 128.0
    if style == "stock":
        # Light letters with a dark edge, as agencies emboss them: they show on any ground.
        colour = np.full(3, 255, np.float32)
    elif abs(float(colour.mean()) - ground) * opacity < 45:
        colour = np.array([10, 10, 10] if ground > 128 else [255, 255, 255], np.float32)
    shaded = style == "stock" or (style in ("corner", "caption") and rng.random() < 0.4)
    busy = _deviation(photo, where) + 8
    while True:
        under: np.ndarray = values
        if shaded:
            strength = opacity if style == "stock" else 0.6
            shadow = np.roll(alpha, (2, 2), (0, 1)) * strength * (1 - alpha)
            under = values * (1 - shadow) + (255 - colour) * shadow
        blended = under * (1 - alpha * opacity) + colour * alpha * opacity
        change = np.abs(blended - values).mean(axis=2)[where].mean() if where.any() else np.inf
        if change >= LEAST_CONTRAST * busy or opacity >= 1:
            break
        opacity = min(opacity * 1.15, 1.0)
    return (np.clip(blended, 0, 255) + 0.5).astype(np.uint8), where


def _deviation(photo: Rgb, where: np.ndarray) -> float:
    """How much luma varies within 15 pixels, in grey levels, at and beside the writing."""
    luma = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    near = cv2.dilate(where.astype(np.uint8), np.ones((9, 9))) > 0
    return float((luma - cv2.blur(luma, (15, 15)))[near].std()) if near.any() else 0.0
