"""What the released evaluator does around the model: preparing the image, reading the answer."""

import re

from PIL import Image

from catalog.images import Rgb

PIXELS = 512 * 512
SNAP = 28
"""Sides become multiples of this, as qwen-vl-utils' smart_resize makes them."""

MAX_NEW_TOKENS = 32

LONGEST_ASPECT = 200
"""Longer side over shorter from which qwen-vl-utils and transformers refuse an image."""

PROTOCOL = f"1 {PIXELS} lanczos, {SNAP} bicubic, png; greedy {MAX_NEW_TOKENS}"
"""Part of who judges: the first number is that of what `prepare` and `read_answer` do."""

Size = tuple[int, int]


def prepare(image: Rgb) -> Image.Image:
    """About 512 * 512 pixels by Lanczos, then sides snapped to multiples of 28 by bicubic.

    Both steps and their rounding are the released evaluator's (its own resize, then that of
    qwen-vl-utils), done here so that a server gets the same pixels as a local model.
    """
    first, second = _sizes(image)
    resized = Image.fromarray(image).resize(first, Image.Resampling.LANCZOS)
    return resized.resize(second, Image.Resampling.BICUBIC)


def refusal(image: Rgb) -> str | None:
    """Why no model can be asked about `image`, None where one can; the evaluator fails there."""
    height, width = image.shape[:2]
    if min(height, width) == 0:
        return "the image has no pixels"
    if any(max(size) > LONGEST_ASPECT * min(size) for size in _sizes(image)):
        return (
            f"too long to judge: {width} x {height}, at the judge's size over {LONGEST_ASPECT} : 1"
        )
    return None


def _sizes(image: Rgb) -> tuple[Size, Size]:
    height, width = image.shape[:2]
    aspect = max(width / height, 1e-6)
    target = (max(1, int((PIXELS * aspect) ** 0.5)), max(1, int((PIXELS / aspect) ** 0.5)))
    return target, (_snap(target[0]), _snap(target[1]))


def _snap(side: int) -> int:
    return max(SNAP, round(side / SNAP) * SNAP)


def read_answer(text: str) -> int | None:
    """The severity 1..5 of an answer: 退化分数：N, else a last digit 1..5, else None."""
    text = text.strip()
    found = re.search(r"退化分数\s*[：:]\s*([1-5])", text) or re.search(r"([1-5])\s*$", text)
    return int(found.group(1)) if found else None
