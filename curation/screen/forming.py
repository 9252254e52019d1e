"""A labelled set by script: photos made into bordered ones and collages, screenshots, drawings."""

import string
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from catalog.images import Rgb
from curation.screen.forms import Form


def bordered(photos: Sequence[Rgb], rng: np.random.Generator) -> Rgb:
    """A photo with a plain border: bars, a frame, a polaroid, or rounded corners."""
    photo = photos[0]
    height, width = photo.shape[:2]
    colour = tuple(int(v) for v in _colour(rng))
    kind = rng.random()
    thick = [int(v) for v in rng.uniform(0.015, 0.14, 4) * min(height, width) + 3]
    if kind < 0.35:
        thick = [thick[0], thick[0], 0, 0] if rng.random() < 0.7 else [0, 0, thick[2], thick[2]]
    elif kind < 0.8:
        thick = (
            [thick[0]] * 4 if rng.random() < 0.6 else [thick[0], 3 * thick[0], thick[0], thick[0]]
        )
    if kind >= 0.8:
        mask = Image.new("L", (width, height))
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, width - 1, height - 1), min(thick) * 2, 255)
        cover = np.asarray(mask)[..., None] / 255
        photo = (photo * cover + np.array(colour) * (1 - cover)).astype(np.uint8)
    top, bottom, left, right = thick
    return cv2.copyMakeBorder(photo, top, bottom, left, right, cv2.BORDER_CONSTANT, value=colour)


def collage(photos: Sequence[Rgb], rng: np.random.Generator) -> Rgb:
    """Two to nine photos in rows, with or without gutters."""
    gap = 0 if rng.random() < 0.4 else int(rng.integers(2, 14))
    colour = _colour(rng)
    width = int(rng.integers(420, 900))
    rows: list[np.ndarray] = []
    left = list(photos)
    for _ in range(int(rng.integers(1, 4))):
        count = int(rng.integers(1 if rows else 2, 4))
        taken = [left[int(rng.integers(len(left)))] for _ in range(count)]
        tall = int(width / count / rng.uniform(0.9, 1.6))
        edges = np.linspace(0, width + gap, count + 1).astype(int)
        row = np.full((tall, width, 3), colour, np.uint8)
        for photo, start, end in zip(taken, edges[:-1], edges[1:] - gap, strict=True):
            row[:, start:end] = _cover(photo, int(end - start), tall)
        rows += [row, np.full((gap, width, 3), colour, np.uint8)]
    whole = np.concatenate(rows[:-1] if gap else rows)
    return np.ascontiguousarray(whole.transpose(1, 0, 2)) if rng.random() < 0.3 else whole


def screenshot(photos: Sequence[Rgb], rng: np.random.Generator) -> Rgb:
    """A page, a window, a table or a chart, drawn as programs do; sometimes with a photo in it."""
    width, height = int(rng.integers(360, 1100)), int(rng.integers(320, 900))
    dark = rng.random() < 0.25
    ground = rng.integers(15, 50, 3) if dark else rng.integers(228, 256, 3)
    page = Image.new("RGB", (width, height), tuple(int(v) for v in ground))
    draw = ImageDraw.Draw(page)
    ink = (225, 225, 225) if dark else (30, 30, 30)
    bar = int(rng.integers(18, 60))
    if rng.random() < 0.8:
        draw.rectangle((0, 0, width, bar), fill=tuple(int(v) for v in _colour(rng)))
        draw.text((10, bar // 4), _words(3, rng), fill=ink, font=_font(max(bar // 3, 9)))
    side = int(width * rng.uniform(0.15, 0.3)) if rng.random() < 0.5 else 0
    if side:
        draw.rectangle((0, bar, side, height), fill=tuple(int(v * 0.93) for v in ground))
        for y in range(bar + 12, height, int(rng.integers(22, 40))):
            draw.text((10, y), _words(1, rng), fill=ink, font=_font(11))
    y, left = bar + 14, side + 14
    while y < height - 30:
        y += _block(page, draw, (left, y, width - 14, height), ink, photos, rng)
    return np.asarray(page)


def drawing(photos: Sequence[Rgb], rng: np.random.Generator) -> Rgb:
    """A cartoon of a photo, a picture of flat shapes, or lines on paper."""
    kind = rng.random()
    if kind < 0.5:
        return _cartoon(photos[0], rng)
    if kind < 0.85:
        return _shapes(rng)
    grey = cv2.GaussianBlur(cv2.cvtColor(photos[0], cv2.COLOR_RGB2GRAY), (0, 0), 1.5)
    lines = cv2.adaptiveThreshold(
        grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 9, float(rng.uniform(3, 7))
    )
    paper, ink = rng.uniform(225, 255, 3), rng.uniform(0, 90, 3)
    share = cv2.GaussianBlur(lines, (0, 0), 0.6)[..., None] / 255
    return (paper * share + ink * (1 - share)).astype(np.uint8)


MAKERS: dict[Form, Callable[[Sequence[Rgb], np.random.Generator], Rgb]] = {
    Form.BORDER: bordered,
    Form.COLLAGE: collage,
    Form.SCREENSHOT: screenshot,
    Form.DRAWING: drawing,
}
"""Each makes one image of its form of a few photos (at least four of 200 pixels a side)."""


def _colour(rng: np.random.Generator) -> np.ndarray:
    draw = rng.random()
    if draw < 0.4:
        return np.array([255, 255, 255])
    return np.zeros(3, int) if draw < 0.7 else rng.integers(0, 256, 3)


def _cover(photo: Rgb, width: int, height: int) -> Rgb:
    share = max(width / photo.shape[1], height / photo.shape[0])
    size = (max(round(photo.shape[1] * share), width), max(round(photo.shape[0] * share), height))
    big = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if share < 1 else cv2.INTER_CUBIC)
    top, left = (big.shape[0] - height) // 2, (big.shape[1] - width) // 2
    return big[top : top + height, left : left + width]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _words(count: int, rng: np.random.Generator) -> str:
    letters = list(string.ascii_lowercase)
    return " ".join("".join(rng.choice(letters, int(rng.integers(2, 10)))) for _ in range(count))


def _block(
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    ink: tuple[int, int, int],
    photos: Sequence[Rgb],
    rng: np.random.Generator,
) -> int:
    """One thing on a page: text, a table, a chart, buttons or a photo; its height."""
    left, top, right, bottom = box
    kind = rng.random()
    if kind < 0.45:
        size, lines = int(rng.integers(10, 17)), int(rng.integers(2, 7))
        for line in range(lines):
            text = _words(max(int((right - left) / size / 3.4 * rng.uniform(0.5, 1)), 1), rng)
            draw.text((left, top + int(line * size * 1.5)), text, fill=ink, font=_font(size))
        return int(lines * size * 1.5) + 12
    tall = int(rng.integers(60, 190))
    low = min(top + tall, bottom - 8)
    if kind < 0.6:
        for row in range(top, low, 22):
            draw.line((left, row, right, row), fill=(150, 150, 150))
            for column in range(left, right, 90):
                draw.text((column + 4, row + 4), _words(1, rng)[:9], fill=ink, font=_font(11))
                draw.line((column, row, column, min(row + 22, low)), fill=(150, 150, 150))
    elif kind < 0.75:
        draw.line((left, top, left, low, right, low), fill=ink, width=2)
        bars = int(rng.integers(4, 12))
        heights = rng.uniform(0.1, 1, bars) * (low - top)
        step = max((right - left) // bars, 8)
        if rng.random() < 0.5:
            colour = tuple(int(v) for v in rng.integers(0, 230, 3))
            for index, value in enumerate(heights):
                x = left + index * step
                draw.rectangle((x + 3, low - value, x + step - 3, low), fill=colour)
        else:
            points = [(left + i * step, low - v) for i, v in enumerate(heights)]
            draw.line(points, fill=tuple(int(v) for v in rng.integers(0, 230, 3)), width=2)
    elif kind < 0.88 or low - top < 40:
        for x in range(left, right - 80, 110):
            colour = tuple(int(v) for v in rng.integers(30, 240, 3))
            draw.rounded_rectangle((x, top, x + 90, top + 28), 5, fill=colour)
            draw.text((x + 12, top + 8), _words(1, rng)[:8], fill=(255, 255, 255), font=_font(12))
        return 44
    else:
        wide = min(int((low - top) * 1.5), right - left)
        photo = photos[int(rng.integers(len(photos)))]
        page.paste(Image.fromarray(_cover(photo, wide, low - top)), (left, top))
    return low - top + 14


def _cartoon(photo: Rgb, rng: np.random.Generator) -> Rgb:
    smooth: np.ndarray = photo
    for _ in range(int(rng.integers(2, 5))):
        smooth = cv2.bilateralFilter(smooth, 7, float(rng.uniform(25, 60)), 7)
    smooth = cv2.medianBlur(smooth, int(rng.choice([5, 7, 9])))
    levels = int(rng.integers(4, 9))
    steps = (smooth.astype(np.float32) / 255 * (levels - 1)).round() / (levels - 1)
    flat: np.ndarray = (steps * 255).astype(np.uint8)
    flat = cv2.medianBlur(flat, 5)
    if rng.random() < 0.6:
        grey = cv2.medianBlur(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), 7)
        lines = cv2.adaptiveThreshold(
            grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 9, float(rng.uniform(2, 5))
        )
        flat = cv2.bitwise_and(flat, flat, mask=cv2.medianBlur(lines, 3))
    return flat


def _shapes(rng: np.random.Generator) -> Rgb:
    width, height = int(rng.integers(320, 900)), int(rng.integers(320, 900))
    image = Image.new(
        "RGB", (2 * width, 2 * height), tuple(int(v) for v in rng.integers(90, 256, 3))
    )
    draw = ImageDraw.Draw(image)
    outline = tuple(int(v) for v in rng.integers(0, 60, 3)) if rng.random() < 0.6 else None
    line = int(rng.integers(2, 9))
    for _ in range(int(rng.integers(6, 60))):
        x, y = rng.uniform(0, 2 * width), rng.uniform(0, 2 * height)
        size = float(np.exp(rng.uniform(np.log(20), np.log(500))))
        fill = tuple(int(v) for v in rng.integers(0, 256, 3))
        if rng.random() < 0.4:
            other = size * rng.uniform(0.4, 1)
            draw.ellipse((x - size, y - other, x + size, y + other), fill, outline, line)
        else:
            angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
            radii = size * rng.uniform(0.5, 1, len(angles))
            points = list(zip(x + radii * np.cos(angles), y + radii * np.sin(angles), strict=True))
            draw.polygon(points, fill, outline, line)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
