"""Views of a square, as one photo appears on several sites: the same scene, other pixels."""

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from networks.embedders.fit.pictures import Squares

SIDE = 128
CLEAN = len(Degradation)
"""Label of a view that nothing has been done to but what every site does."""


def view(squares: Squares, row: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """A view (SIDE, SIDE, 3) uint8 of square `row`, and its label: the degradation, or CLEAN.

    A barely degraded version has the label -1: it is neither clean nor an example.
    """
    label = CLEAN
    if rng.random() < 0.45:
        which = int(rng.integers(2))
        image = squares.degraded[row, which]
        label = int(squares.label[row, which]) if squares.severity[row, which] < 3.2 else -1
    else:
        image = squares.clean[row]
    image = _frame(image, rng)
    image = _tone(image, rng)
    if rng.random() < 0.15:
        _write(image, rng)
    if rng.random() < 0.35:
        small = int(rng.integers(40, SIDE))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        label = -1 if label == CLEAN and small < 90 else label
    if rng.random() < 0.5:
        quality = int(rng.integers(12, 96))
        image = cv2.imdecode(
            cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR
        )
        label = -1 if label == CLEAN and quality < 50 else label
    return image, label


def _frame(image: Rgb, rng: np.random.Generator) -> Rgb:
    """Crop, padding, turn, mirror and another aspect ratio, as one affine map to SIDE pixels."""
    side = image.shape[0]
    box = np.array([0.0, 0.0, 1.0, 1.0])
    kind = rng.random()
    if kind < 0.5:
        box += np.array([1, 1, -1, -1]) * rng.uniform(0, 0.2, 4)
    elif kind < 0.7:
        box -= np.array([1, 1, -1, -1]) * rng.uniform(0, 0.25, 4) * (rng.random(4) < 0.6)
    corners = np.array([[box[0], box[1]], [box[2], box[1]], [box[0], box[3]]]) * side
    if rng.random() < 0.3:
        angle = np.deg2rad(rng.uniform(-10, 10))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        corners = (corners - side / 2) @ turn.T + side / 2
    target = np.array([[0, 0], [SIDE, 0], [0, SIDE]], np.float32)
    if rng.random() < 0.3:
        target[:, 0] = SIDE - target[:, 0]
    warp = cv2.getAffineTransform(corners.astype(np.float32), target)
    colour = (
        0.0 if rng.random() < 0.4 else 255.0 if rng.random() < 0.6 else float(rng.uniform(0, 256))
    )
    border = cv2.BORDER_CONSTANT if rng.random() < 0.7 else cv2.BORDER_REPLICATE
    return cv2.warpAffine(
        image,
        warp,
        (SIDE, SIDE),
        flags=cv2.INTER_AREA if rng.random() < 0.5 else cv2.INTER_LINEAR,
        borderMode=border,
        borderValue=(colour,) * 3,
    )


def _tone(image: Rgb, rng: np.random.Generator) -> Rgb:
    """Gamma, contrast, colour casts, saturation, grey."""
    if rng.random() < 0.3:
        return image
    values = np.arange(256, dtype=np.float32) / 255
    tables = np.stack(
        [
            np.clip((values ** np.exp(rng.normal(0, 0.3)) - 0.5) * contrast + 0.5 + shift, 0, 1)
            for contrast, shift in zip(
                np.exp(rng.normal(0, 0.05, 3) + rng.normal(0, 0.15)),
                rng.normal(0, 0.02, 3) + rng.normal(0, 0.04),
                strict=True,
            )
        ],
        axis=1,
    )
    image = cv2.LUT(image, (tables[:, None] * 255 + 0.5).astype(np.uint8))
    if rng.random() < 0.4:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        share = 1.0 if rng.random() < 0.3 else float(rng.uniform(-0.4, 0.7))
        image = cv2.addWeighted(image, 1 - share, grey, share, 0)
    return image


def _write(image: Rgb, rng: np.random.Generator) -> None:
    """A line of letters somewhere, in place."""
    text = "".join(chr(int(code)) for code in rng.integers(65, 91, int(rng.integers(4, 14))))
    shade = 255 if rng.random() < 0.6 else int(rng.integers(256))
    over = image.copy()
    cv2.putText(
        over,
        text,
        (int(rng.integers(-10, SIDE // 2)), int(rng.integers(10, SIDE))),
        int(rng.integers(8)),
        float(rng.uniform(0.3, 1.0)),
        (shade,) * 3,
        int(rng.integers(1, 3)),
        cv2.LINE_AA,
    )
    image[:] = cv2.addWeighted(image, 0.3, over, 0.7, 0) if rng.random() < 0.5 else over
