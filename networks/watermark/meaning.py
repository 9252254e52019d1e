"""What a mark is, by what is written on it, what is drawn beside, and what it looks like."""

import re
from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np

from catalog.images import Rgb
from networks.watermark.detector import MarkDetector, Marks
from networks.watermark.kinds import Kind, Mark
from networks.watermark.reading import Line, Reader, reduced

LIKELY = 0.3
"""Probability from which a pixel counts as marked."""
ON_MARK = 0.2
"""Share of a line's pixels that must be marked: the others are writing in the photo, on a sign."""
REPEATED = 3
"""Lines that say the same and so fill a photo."""
MOST_LINES = 12
"""Lines that are read: a page of writing has a hundred, and each takes a third of a second."""
SIGN_LIKELY = 0.7
"""Probability from which a pixel counts as part of a sign: photos have places that look a little
like one, and no writing to be read there tells them from it."""
SIGN = 0.5
"""Share of the marked pixels that a sign has at least, beside all writing."""
SIGN_ASPECT = 3.0
"""Longer side of a sign over its shorter one, at most."""

SPILL = 8.0
"""Pixels by which cells of a mark reach beyond it."""
ACROSS = 0.3
"""Share of an image's width from which writing in its middle third lies across it."""

_OWNER = re.compile(
    r"©|®|™|\(c\)|@\w|https?:|www\b|\w\.(?:com|net|org|io|example|[a-z]{2})\b"
    r"|copyright|rights|reserved|do\s*not\s*copy|\bphoto|fotograf|photograph|picture"
    r"|stock|image|footage|preview|sample|proof|watermark|specimen|licen[cs]e|draft"
    r"|getty|alamy|shutter|istock|adobe|dreamstime|123rf|pixabay|unsplash|pexels|flickr"
    r"|instagram|facebook|tiktok|youtube|weibo"
    r"|版权|水印|图库|样片|小红书|微博|抖音|快手|视觉中国|摄图|图虫|公众号|知乎|摄影",
    re.IGNORECASE,
)
"""Names of owners, addresses, and what agencies write over previews."""


def find_mark(image: Rgb, detector: MarkDetector, reader: Reader, least: float) -> Mark:
    """The mark over an (h, w, 3) uint8 image, read where its probability is above `least`."""
    marks = detector.find(image)
    if marks.probability <= least:
        return Mark(marks.probability)
    image = reduced(image)
    likely = marks.where(image.shape)
    lines = written_on(image, reader, likely)
    return Mark(marks.probability, kind_of(marks, lines, likely), names_owner(lines))


def written_on(image: Rgb, reader: Reader, likely: np.ndarray) -> list[Line]:
    """What is written on the mark of a `reduced` image, by the (h, w) probabilities of its pixels.

    The longest `MOST_LINES` lines of more than a single character.
    """
    places = [corners for corners in reader.lines(image) if _share(corners, likely) >= ON_MARK]
    places.sort(key=cv2.contourArea, reverse=True)
    lines = [reader.read(image, corners) for corners in places[:MOST_LINES]]
    return [line for line in lines if len(line.text) > 1]


def names_owner(lines: Sequence[Line]) -> bool:
    """Whether the writing names an owner, as watermarks do and captions do not."""
    return any(_OWNER.search(line.text) for line in lines)


def kind_of(marks: Marks, lines: Sequence[Line], likely: np.ndarray) -> Kind:
    """What a mark is.

    `lines` are those of `written_on`, `likely` (h, w) the probabilities of its pixels. Writing
    that names an owner, is repeated, or lies across the middle is a watermark; a sign beside other
    writing, or alone, is a logo; other writing is a text overlay. What can be seen but not read is
    what it looks like.
    """
    if names_owner(lines) or _is_repeated(lines) or _lies_across(lines, likely.shape):
        return Kind.WATERMARK
    if _has_sign(lines, likely):
        return Kind.LOGO
    if lines:
        return Kind.TEXT
    return Kind.LOGO if marks.kind is Kind.LOGO else Kind.WATERMARK


def _is_repeated(lines: Sequence[Line]) -> bool:
    said = [re.sub(r"\W", "", line.text).lower() for line in lines]
    counted = Counter(one for one in said if len(one) > 2)
    return any(count >= REPEATED for count in counted.values())


def _lies_across(lines: Sequence[Line], shape: tuple[int, ...]) -> bool:
    """Captions and dates lie at the borders."""
    for line in lines:
        (left, top), (right, bottom) = line.corners.min(axis=0), line.corners.max(axis=0)
        middle = (top + bottom) / 2 / shape[0]
        if 1 / 3 < middle < 2 / 3 and right - left >= ACROSS * shape[1]:
            return True
    return False


def _has_sign(lines: Sequence[Line], likely: np.ndarray) -> bool:
    marked = (likely > SIGN_LIKELY).astype(np.uint8)
    whole = int(marked.sum())
    for line in lines:
        corners = _grown(line.corners).astype(np.int32)
        cv2.fillConvexPoly(marked, corners, 0)
    joined = cv2.dilate(marked, np.ones((9, 9), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(joined)
    for part in range(1, count):
        left, top, width, height = stats[part, :4].tolist()
        own = int(marked[top : top + height, left : left + width].sum())
        if own >= SIGN * whole and max(width, height) <= SIGN_ASPECT * min(width, height):
            return True
    return False


def _grown(corners: np.ndarray) -> np.ndarray:
    """(4, 2) corners moved out by two thirds of the line's height: marks are told in cells."""
    height = min(np.linalg.norm(corners[0] - corners[3]), np.linalg.norm(corners[0] - corners[1]))
    return corners + np.sign(corners - corners.mean(axis=0)) * max(height * 2 / 3, SPILL)


def _share(corners: np.ndarray, likely: np.ndarray) -> float:
    """Of the pixels within the corners, the marked ones."""
    left, top, width, height = cv2.boundingRect(corners.astype(np.int32))
    left, top = max(left, 0), max(top, 0)
    near = likely[top : top + height, left : left + width]
    inside = np.zeros(near.shape, np.uint8)
    cv2.fillConvexPoly(inside, (corners - (left, top)).astype(np.int32), 1)
    return float((near[inside > 0] > LIKELY).mean()) if inside.any() else 0.0
