"""Verification of a candidate pair: one thumbnail is laid on the other.

The two are registered by an affine map that maximises the enhanced correlation coefficient
(Evangelidis and Psarakis, 2008), started from the view that made the pair a candidate. What comes
out is how much of the two images is common and how well the common part agrees.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.deduplicate.agreement import agreement, fine_agreement, scene
from curation.deduplicate.layouts import View

COARSE, FINE = 48, 112
"""Longer side, pixels, of the two levels of registration."""

_HOPEFUL = 0.5  # coarse correlation below which the fine level is not tried
_SMOOTH = 0.6  # sigma, pixels, of what both are smoothed by before they are compared
_SURE = 0.8  # agreement of fine structure from which a registration is right
_SMALLEST = 0.1  # share of the area to which a map may shrink


@dataclass(frozen=True)
class Alignment:
    """How image B lies on image A.

    `matrix` (3, 3) maps a point of A to the point of B, both in the image's unit square.
    `correlation` -1..1 is that of the common part, `detail` the median of the correlations of its
    blocks, which text and a watermark leave alone. `fine` is the median of its blocks that hold
    fine structure, of that structure alone, and `blocks` is how many do, of 36: any two plain
    images agree roughly where one is moved and stretched, but their details do not.
    """

    matrix: np.ndarray
    correlation: float
    detail: float
    fine: float
    blocks: int


_IDENTITY = np.eye(3)

WHOLE = np.array([0.0, 0.0, 1.0, 1.0])
"""The box of an image without plain border."""


def _resized(image: np.ndarray, longest: int) -> np.ndarray:
    import cv2

    scale = longest / max(image.shape)
    size = [max(8, round(n * scale)) for n in image.shape[::-1]]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=method).astype(np.float32)


def _pixels(image: np.ndarray) -> np.ndarray:
    """(3, 3) from the unit square to pixel centres."""
    height, width = image.shape
    return np.array([[width, 0, -0.5], [0, height, -0.5], [0, 0, 1.0]])


def _register(
    a: np.ndarray, b: np.ndarray, start: np.ndarray, steps: int
) -> tuple[float, np.ndarray]:
    """Coefficient and refined matrix in unit coordinates; (-1, start) where it diverges."""
    import cv2

    to_a, to_b = _pixels(a), _pixels(b)
    warp = (to_b @ start @ np.linalg.inv(to_a))[:2].astype(np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, 1e-3)
    try:
        coefficient, warp = cv2.findTransformECC(
            a, b, warp, cv2.MOTION_AFFINE, stop, np.ones(b.shape, np.uint8), 3
        )
    except cv2.error:
        return -1.0, start
    found = np.linalg.inv(to_b) @ np.vstack([warp, [0, 0, 1.0]]) @ to_a
    if not _SMALLEST < np.linalg.det(found[:2, :2]) < 1 / _SMALLEST:
        return -1.0, start
    return float(coefficient), found


def overlap_of(matrix: np.ndarray) -> tuple[float, float]:
    """Intersection over union, and over the smaller, of A's unit square and B's laid on it.

    `matrix` maps A to B. The intersection is counted on a 64 x 64 grid of A, to about 1 %.
    """
    centres = (np.arange(64) + 0.5) / 64
    x, y = np.meshgrid(centres, centres)
    points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)]).astype(np.float64)
    u, v, _ = matrix @ points
    common = float(((u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)).mean())
    other = 1.0 / max(abs(float(np.linalg.det(matrix[:2, :2]))), 1e-9)
    union, smaller = max(1.0 + other - common, 1e-9), min(1.0, other)
    return min(1.0, common / union), min(1.0, common / smaller)


def trim_matrix(trim: np.ndarray) -> np.ndarray:
    """(3, 3) from the unit square inside the box (left, top, right, bottom) to the image's."""
    left, top, right, bottom = (float(value) for value in trim)
    return np.array([[right - left, 0, left], [0, bottom - top, top], [0, 0, 1.0]])


def content_overlap(
    matrix: np.ndarray, trim_a: np.ndarray, trim_b: np.ndarray
) -> tuple[float, float]:
    """`overlap_of` with and without each image's plain border, whichever agrees best.

    A border that was added must not count, yet an even sky that was taken for one must.
    """
    found = [
        overlap_of(np.linalg.inv(trim_matrix(b)) @ matrix @ trim_matrix(a))
        for a in ((WHOLE,) if np.allclose(trim_a, WHOLE) else (WHOLE, trim_a))
        for b in ((WHOLE,) if np.allclose(trim_b, WHOLE) else (WHOLE, trim_b))
    ]
    return max(one for one, _ in found), max(two for _, two in found)


def _sampled(
    image: np.ndarray, matrix: np.ndarray, height: int, width: int, sigma: float
) -> np.ndarray:
    """(height, width) float32 of an image whose point `matrix` @ p is at p, both unit squares.

    It is smoothed by the same Gaussian in pixels of the result, whatever the scale, and read by
    cubic interpolation, so that two images brought to one grid have lost alike.
    """
    import cv2

    onto = _pixels(np.empty((height, width)))
    warp = (_pixels(image) @ matrix @ np.linalg.inv(onto))[:2]
    step = float(np.sqrt(abs(np.linalg.det(warp[:, :2]))))  # pixels of the image by one of these
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), max(sigma * step, 0.1))
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    found = cv2.warpAffine(
        smooth, warp, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(found)


def warped(
    a: np.ndarray, b: np.ndarray, matrix: np.ndarray, longest: int, smooth: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A at `longest` pixels, B laid on it, and where both are: (h, w) float32, float32, bool.

    Both are smoothed alike first, unless `smooth` is false, for maps that are smooth themselves.
    """
    scale = longest / max(a.shape)
    height, width = (max(8, round(n * scale)) for n in a.shape)
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    u = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]
    v = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]
    # Pixels at the edge would be mixed with what is repeated beyond it.
    edge = 2.0 / max(b.shape)
    inside = (u > edge) & (u < 1 - edge) & (v > edge) & (v < 1 - edge)
    sigma = _SMOOTH if smooth else 0.1
    laid = _sampled(b, matrix, height, width, sigma)
    return _sampled(a, _IDENTITY, height, width, sigma), laid, inside


def content(
    shape: tuple[int, ...], matrix: np.ndarray, trim_a: np.ndarray, trim_b: np.ndarray
) -> np.ndarray:
    """(h, w) bool over A: neither in A's plain border nor in B's."""
    height, width = shape
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    u = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]
    v = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]
    in_a = (x > trim_a[0]) & (y > trim_a[1]) & (x < trim_a[2]) & (y < trim_a[3])
    return np.asarray(in_a & (u > trim_b[0]) & (v > trim_b[1]) & (u < trim_b[2]) & (v < trim_b[3]))


def _compared(
    a: np.ndarray, b: np.ndarray, matrix: np.ndarray, trim_a: np.ndarray, trim_b: np.ndarray
) -> Alignment:
    one, two, inside = warped(a, b, matrix, FINE)
    inside &= content(inside.shape, matrix, trim_a, trim_b)
    correlation, detail = agreement(one, two, inside)
    # What turning left at the corners is fine structure that all turned images share.
    scene_a, scene_b, _ = warped(scene(a), scene(b), matrix, FINE)
    fine, blocks = fine_agreement(one, two, inside & (scene_a > 0.98) & (scene_b > 0.98))
    return Alignment(matrix, correlation, detail, fine, blocks)


def align(
    a: np.ndarray,
    b: np.ndarray,
    starts: Sequence[np.ndarray],
    trim_a: np.ndarray = WHOLE,
    trim_b: np.ndarray = WHOLE,
) -> Alignment:
    """Lay B on A, each a (height, width) uint8 luma.

    Plain borders outside the boxes (left, top, right, bottom in 0..1) do not count: two photos in
    equal frames are no copies. `starts` are matrices like `Alignment.matrix` to begin from; the
    best one wins.
    """
    coarse, fine = (_resized(a, COARSE), _resized(b, COARSE)), _resized(a, FINE)
    best, matrix = -2.0, np.array(starts[0])
    flip = View(mirror=True).matrix()
    for start in starts:
        mirrored = np.linalg.det(start[:2, :2]) < 0
        first = flip if mirrored else _IDENTITY
        one, two = coarse
        two = np.ascontiguousarray(two[:, ::-1]) if mirrored else two
        coefficient, found = _register(one, two, first @ start, 30)
        if coefficient > _HOPEFUL:
            # Both at one scale of the content: a bordered image has less of it in its frame.
            spread = float(np.sqrt(abs(np.linalg.det(found[:2, :2]))))
            one, two = fine, _resized(b, round(np.clip(FINE / spread, COARSE, 2 * FINE)))
            two = np.ascontiguousarray(two[:, ::-1]) if mirrored else two
            finer, refined = _register(one, two, found, 20)
            if finer > 0:
                coefficient, found = finer, refined
        if coefficient > best:
            best, matrix = coefficient, first @ found
    laid = _compared(a, b, matrix, trim_a, trim_b)
    if laid.fine < _SURE:
        # What was laid over one of them, a watermark say, can draw the registration away.
        unmoved = [_compared(a, b, start, trim_a, trim_b) for start in starts]
        laid = max([laid, *unmoved], key=lambda one: one.fine)
    return laid
