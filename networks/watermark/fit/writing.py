"""What marks are made of: texts and signs, drawn as coverage (white on black)."""

import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_WORDS = (
    "photo", "image", "studio", "copyright", "stock", "sample", "preview", "draft", "archive",
    "gallery", "pictures", "media", "news", "travel", "nature", "art", "press", "creative", "proof",
    "the", "of", "by", "and", "sale", "summer", "winter", "free", "visual", "hub", "world",
)  # fmt: skip


def write(
    text: str, size: int, fonts: Sequence[Path], rng: np.random.Generator, hollow: float = 0.05
) -> Image.Image:
    """Coverage of a text, cut to its size; the share `hollow` of them as contours only."""
    font = ImageFont.truetype(fonts[int(rng.integers(len(fonts)))], size)
    outline = int(rng.integers(1, max(2, size // 14 + 1))) if rng.random() < hollow else 0
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


def stacked(first: Image.Image, second: Image.Image) -> Image.Image:
    """Coverage of one thing above another, centred."""
    both = Image.new("L", (max(first.width, second.width), first.height + second.height + 2))
    both.paste(first, ((both.width - first.width) // 2, 0))
    both.paste(second, ((both.width - second.width) // 2, first.height + 2))
    return both


def beside(first: Image.Image, second: Image.Image) -> Image.Image:
    """Coverage of one thing beside another, at one height."""
    both = Image.new("L", (first.width + second.width + 4, max(first.height, second.height)))
    both.paste(first, (0, (both.height - first.height) // 2))
    both.paste(second, (first.width + 4, (both.height - second.height) // 2))
    return both
