"""What an image is, if not a single photo: a bordered one, a collage, a screenshot, a drawing.

Borders and collages are found by rules over rows and columns; screenshots and drawings by a
logistic regression over measures of flatness, palette and edges (`fit_forms`), since each measure
alone is also that of some photo.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from catalog.images import Rgb
from curation.fingerprint import trim_box
from networks.weights import read_pinned

WEIGHTS = Path(__file__).with_name("forms.json")
SHA256 = "3769e9054090c050d7cfb3f6a15567f8be0957aac7ca55e6d1dbb04b75d0ca4d"
SMALLEST_SIDE = 64
LONGEST_SIDE = 800
"""Larger images are reduced; flat parts stay flat."""

DIFFERENT = 10.0
"""Grey levels by which a pixel beside a border or a gutter differs from it."""
PLAIN = 3.0
"""Deviation along a line, in grey levels, of what is of one colour."""
UNIFORM, UNIFORM_SPAN = 0.3, 0.2
"""Deviation of a step along its line over its mean size: up to 0.3 at most horizons, 0.6 and more
between most pairs of pictures."""
LEAST_BORDER = 0.012
"""Of a side; and at least three pixels."""


class Form(StrEnum):
    """What can be wrong with an image as a photo."""

    BORDER = "border"
    COLLAGE = "collage"
    SCREENSHOT = "screenshot"
    DRAWING = "drawing"


def forms(image: Rgb) -> dict[Form, float]:
    """How likely each form is, 0 .. 1, of an (h, w, 3) uint8 image; 0 below 64 pixels a side.

    Border and collage: the share of the line inside the border, or along the cut, at which the
    image changes. Screenshot and drawing: probabilities.
    """
    if min(image.shape[:2]) < SMALLEST_SIDE:
        return dict.fromkeys(Form, 0.0)
    small = reduced(image)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    values = features(small, grey)
    return {
        Form.BORDER: border(grey),
        Form.COLLAGE: max(cut(grey), cut(grey.T)),
        **{form: _probability(values, form) for form in (Form.SCREENSHOT, Form.DRAWING)},
    }


def border(grey: np.ndarray) -> float:
    """Share of the lines just inside a plain border that differ from it; 0 without a border.

    A border lies on two opposite sides at least and is of one colour. A thing before a plain
    ground has plain sides too, but the ground goes on beside it.
    """
    left, top, right, bottom = trim_box(grey)
    height, width = grey.shape
    best = 0.0
    pairs = (
        (grey, top, height - bottom, (left, right)),
        (grey.T, left, width - right, (top, bottom)),
    )
    for lines, first, last, (start, end) in pairs:
        least = max(3, LEAST_BORDER * len(lines))
        if min(first, last) < least or end - start < 16:
            continue
        colours = [float(np.median(lines[0])), float(np.median(lines[-1]))]
        if abs(colours[0] - colours[1]) > 12:
            continue
        shares = [
            _differing(lines[start_line][start:end], colour)
            for start_line, colour in (
                (min(first + 2, len(lines) - 1), colours[0]),
                (max(len(lines) - last - 3, 0), colours[1]),
            )
        ]
        best = max(best, min(shares))
    return best


def cut(grey: np.ndarray) -> float:
    """How much of an upright line from top to bottom is a cut between two pictures, at most.

    Either an abrupt step, one or two pixels wide, that its neighbours do not continue, or a plain
    gutter whose both sides differ from it. A step that is the same all along, unless one side of it
    is of one colour, is a horizon.
    """
    values = grey.astype(np.float32)
    width = values.shape[1]
    first, last = int(width * 0.08), int(width * 0.92)
    if last - first < 8:
        return 0.0
    best = 0.0
    for reach in (1, 2):
        step = values[:, reach:] - values[:, :-reach]
        near = np.abs(np.diff(values, axis=1))
        # `step` at x spans x .. x + reach; its neighbours are the single steps beside the span.
        spans = np.arange(max(first, 4), min(last, width - reach - 4))
        beside = np.maximum(near[:, spans - 1], near[:, spans + reach])
        own = np.abs(step[:, spans])
        abrupt = ((own > DIFFERENT) & (own > 2.5 * beside)).mean(axis=0)
        varied = step[:, spans].std(axis=0) / (own.mean(axis=0) + 1)
        sides = np.minimum(values[:, spans - 3].std(axis=0), values[:, spans + reach + 3].std(0))
        trust = np.where(sides < PLAIN, 1.0, np.clip((varied - UNIFORM) / UNIFORM_SPAN, 0, 1))
        best = max(best, float((abrupt * trust).max(initial=0)))
    return max(best, _gutter(values, first, last))


def _gutter(values: np.ndarray, first: int, last: int) -> float:
    middle = np.median(values, axis=0)
    plain = (np.abs(values - middle) < 6).mean(axis=0) > 0.97
    best = 0.0
    start = None
    for x in range(first, last + 1):
        if plain[x] and x < last:
            start = x if start is None else start
            continue
        if start is not None and 2 <= x - start <= 0.1 * values.shape[1]:
            colour = float(middle[start:x].mean())
            sides = (values[:, max(start - 3, 0)], values[:, min(x + 2, values.shape[1] - 1)])
            best = max(best, min(_differing(side, colour) for side in sides))
        start = None
    return best


def _differing(line: np.ndarray, colour: float) -> float:
    return float((np.abs(line.astype(np.float32) - colour) > DIFFERENT).mean())


FEATURES = (
    "flat", "flat_inside", "palette", "straight", "flat_sided", "noise", "white", "black",
    "saturation", "edges", "width", "colours", "between", "between_wide", "flat_wide", "peaks",
)  # fmt: skip


def features(image: Rgb, grey: np.ndarray) -> np.ndarray:
    """(len(FEATURES),) measures of an (h, w, 3) uint8 image and its luma."""
    kernel = np.ones((3, 3), np.uint8)
    calm = (cv2.dilate(grey, kernel).astype(np.int16) - cv2.erode(grey, kernel)) <= 2
    inside = (grey > 8) & (grey < 247)
    values = grey.astype(np.float32)
    across = np.abs(cv2.Sobel(values, cv2.CV_32F, 1, 0)) / 4
    down = np.abs(cv2.Sobel(values, cv2.CV_32F, 0, 1)) / 4
    size = np.maximum(across, down)
    strong = size > 12
    number = max(int(strong.sum()), 1)
    upright = (strong & (across > 6 * down)).astype(np.uint8)
    lying = (strong & (down > 6 * across)).astype(np.uint8)
    runs = cv2.bitwise_or(
        cv2.morphologyEx(upright, cv2.MORPH_OPEN, np.ones((12, 1), np.uint8)),
        cv2.morphologyEx(lying, cv2.MORPH_OPEN, np.ones((1, 12), np.uint8)),
    )
    # How much flat ground there is within four pixels of the strong edges.
    ground = cv2.blur(calm.astype(np.float32), (9, 9))
    residual = np.abs(cv2.Laplacian(values, cv2.CV_32F))
    coarse = (image >> 3).astype(np.int32)
    codes = (coarse[..., 0] << 10) | (coarse[..., 1] << 5) | coarse[..., 2]
    counts = np.sort(np.bincount(codes.ravel(), minlength=1 << 15))[::-1] / codes.size
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    smooth = cv2.GaussianBlur(values, (0, 0), 2)
    wide = (
        np.maximum(
            np.abs(cv2.Sobel(smooth, cv2.CV_32F, 1, 0)), np.abs(cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
        )
        / 4
    )
    ratio = float(np.median(size[strong] / (wide[strong] + 1))) if strong.any() else 1.0
    return np.array(
        [
            calm.mean(),
            (calm & inside).sum() / max(int(inside.sum()), 1),
            counts[:8].sum(),
            runs.sum() / number,
            ground[strong].mean() if strong.any() else 0.0,
            np.log(np.percentile(residual, 60) + 0.2),
            (grey >= 250).mean(),
            (grey <= 5).mean(),
            np.percentile(hsv[..., 1], 90) / 255,
            np.log(strong.mean() + 1e-3),
            ratio,
            np.log((counts > 1e-4).sum() + 1),
            *_softened(image),
        ]
    )


def _softened(image: Rgb) -> tuple[float, float, float, float]:
    """How much lies between flat and edge, after a median that takes a codec's noise away.

    Of the pixels that are not flat, the share that is no edge either; of the neither dark nor burnt
    ones, the share whose 9 x 9 surroundings are neither flat nor an edge, the share where they are
    flat, and the share of the six most frequent spans of five grey levels.
    """
    grey = cv2.cvtColor(cv2.medianBlur(image, 5), cv2.COLOR_RGB2GRAY)
    near, wide = (_span(grey, side) for side in (3, 9))
    inside = (grey > 12) & (grey < 250)
    number = max(int(inside.sum()), 1)
    rough = max(int((near > 6).sum()), 1)
    left = np.bincount(grey[inside], minlength=256) / number
    peaks = 0.0
    for _ in range(6):
        middle = int(np.convolve(left, np.ones(5), "same").argmax())
        peaks += float(left[max(middle - 2, 0) : middle + 3].sum())
        left[max(middle - 2, 0) : middle + 3] = 0
    return (
        float(((near > 6) & (near <= 24)).sum()) / rough,
        float(((wide > 5) & (wide <= 30) & inside).sum()) / number,
        float(((wide <= 5) & inside).sum()) / number,
        peaks,
    )


def _span(grey: np.ndarray, side: int) -> np.ndarray:
    kernel = np.ones((side, side), np.uint8)
    return cv2.dilate(grey, kernel).astype(np.int16) - cv2.erode(grey, kernel)


def expand(values: np.ndarray) -> np.ndarray:
    """(n, f) standardised features to (n, f + f (f + 1) / 2): themselves and their products."""
    limited = np.clip(values, -3, 3)
    first, second = np.triu_indices(limited.shape[1])
    return np.concatenate([limited, limited[:, first] * limited[:, second]], axis=1)


@dataclass(frozen=True)
class _Model:
    centre: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: float


@lru_cache(maxsize=1)
def _models() -> dict[str, _Model]:
    content = json.loads(read_pinned(WEIGHTS, SHA256, "the detector of screenshots and drawings"))
    return {
        name: _Model(
            np.array(part["centre"]),
            np.array(part["scale"]),
            np.array(part["weights"]),
            part["bias"],
        )
        for name, part in content.items()
    }


def _probability(values: np.ndarray, form: Form) -> float:
    model = _models()[form.value]
    score = expand((values[None] - model.centre) / model.scale)[0] @ model.weights + model.bias
    return float(1 / (1 + np.exp(-np.clip(score, -50, 50))))


def reduced(image: Rgb) -> Rgb:
    """The image at most `LONGEST_SIDE` pixels a side."""
    share = LONGEST_SIDE / max(image.shape[:2])
    if share >= 1:
        return np.ascontiguousarray(image)
    size = [max(round(side * share), 16) for side in image.shape[1::-1]]
    return cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
