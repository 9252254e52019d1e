"""Whether two versions of one photo differ in degradation, or only as copies do.

Blur, noise, compression, darkness and haze are what Mendline collects, so a version that differs
in one of them clearly is no copy. Encoding, size, a watermark or a text make no difference here.
"""

from dataclasses import dataclass, fields

import numpy as np

from curation.deduplicate.align import warped
from curation.deduplicate.versions import (
    CLEAR_BLOCKS,
    Version,
    blocks,
    by_tile,
    colour,
    grain,
    texture,
)

SIDE = 192
"""Longer side, pixels, at which two versions are compared; less where one of them is smaller."""

_BLOCK = 16
_FINE = 1.2  # sigma of the blur that parts detail from the rest, pixels
_COARSE = 10.0
_EDGE = 9  # pixels, across
_AGREEING = 70  # percent of the blocks
_RESAMPLED = 0.6  # most of the detail that scaling and turning change


@dataclass(frozen=True)
class Difference:
    """How version B differs from A, each 0 where it does not; luma 0..255.

    `exposure`: log2 of the ratio of the mean levels. `contrast`: log2 of the ratio of the standard
    deviations. `sharpness`: log2 of the ratio of the detail both have, contrast taken out.
    `grain`: log2 of the ratio of the noise. `blocks`: difference of the blockiness. `added`: root
    mean square of detail that one only has and resampling does not explain. `veil`: standard
    deviation of the smooth difference that is left after exposure and contrast. `texture`: log2 of
    the ratio of the middle frequencies at full size, as far as neither scaling up nor the encoding
    explains it. `colour`: root mean square of chroma structure, in most places, that one only has.
    """

    exposure: float
    contrast: float
    sharpness: float
    grain: float
    blocks: float
    added: float
    veil: float
    texture: float
    colour: float


LIMITS = Difference(
    exposure=0.6,
    contrast=0.45,
    sharpness=0.3,
    grain=0.6,
    blocks=CLEAR_BLOCKS,
    added=4.0,
    veil=12.0,
    texture=0.3,
    colour=2.0,
)
"""Chosen on one half of the photos of benchmarks/dedupe_accuracy.py, reported on the other."""


def _unshared(rest: np.ndarray, power: np.ndarray) -> float:
    """What of the unshared detail is not explained by resampling, from powers by block.

    Copies that were scaled or turned disagree by a share of the detail that is there; noise does
    so where there is none. The 30th percentile leaves a watermark's blocks out.
    """
    excess = np.maximum(0.0, rest - _RESAMPLED**2 * power)
    return float(np.sqrt(np.percentile(excess, 30)))


def difference(a: Version, b: Version, matrix: np.ndarray) -> Difference:
    """Compare two versions, `matrix` mapping A's unit square to B's."""
    import cv2

    # Detail is compared at a size at which both have some: a small copy is not a blurred one.
    spread = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    true_a = min(a.side, max(a.thumbnail.shape))
    true_b = min(b.side, max(b.thumbnail.shape)) * spread
    longest = max(16, round(min(SIDE, true_a, true_b) * 0.9))
    measured = (grain(a, b, spread), blocks(a, b))
    maps = (texture(a, b, matrix, spread), colour(a, b, matrix))
    one, two, inside = warped(a.thumbnail, b.thumbnail, matrix, longest)
    # What one of them has beyond the common part, a border say, is smoothed into its edge.
    inside = cv2.erode(inside.astype(np.uint8), np.ones((_EDGE, _EDGE), np.uint8)) > 0
    if inside.sum() < 256:
        return Difference(0.0, 0.0, 0.0, *measured, 0.0, 0.0, *maps)

    def smooth(image: np.ndarray, sigma: float) -> np.ndarray:
        return cv2.GaussianBlur(image, (0, 0), sigma)

    x, y = smooth(one, _FINE)[inside], smooth(two, _FINE)[inside]
    contrast = float(np.log2((y.std() + 2.0) / (x.std() + 2.0)))
    exposure = float(np.log2((y.mean() + 8.0) / (x.mean() + 8.0)))
    gain = float(y.std() + 0.5) / float(x.std() + 0.5)
    detail_a = (one - smooth(one, _FINE)) * np.sqrt(gain)
    detail_b = (two - smooth(two, _FINE)) / np.sqrt(gain)
    square_a = by_tile(detail_a * detail_a, inside, _BLOCK)
    square_b = by_tile(detail_b * detail_b, inside, _BLOCK)
    product = by_tile(detail_a * detail_b, inside, _BLOCK)
    # Blocks that agree least are left out: text and marks are in them.
    apart = (square_a + square_b - 2 * product) / (square_a + square_b + 1e-6)
    kept = apart <= np.percentile(apart, _AGREEING)
    powers = float(square_a[kept].sum()) + 1e-6, float(square_b[kept].sum()) + 1e-6
    common = float(product[kept].sum())
    # Projection of each on the other: noise is in neither, blur shrinks one of them.
    sharper = float(np.log2(max(common / powers[0], 1e-3) / max(common / powers[1], 1e-3)))
    coherence = common / float(np.sqrt(powers[0] * powers[1]))
    sharpness = sharper / 2 * max(0.0, coherence)
    power = np.maximum(square_a, square_b)
    onto_a, onto_b = common / powers[0], common / powers[1]
    rest_a = square_a - 2 * onto_b * product + onto_b**2 * square_b
    rest_b = square_b - 2 * onto_a * product + onto_a**2 * square_a
    far_a, far_b = smooth(one, _COARSE)[inside], smooth(two, _COARSE)[inside]
    slope, offset = np.polyfit(far_a, far_b, 1) if far_a.std() > 1 else (1.0, 0.0)
    veil = float((far_b - slope * far_a - offset).std()) / max(0.25, min(abs(float(slope)), 4.0))
    added = max(_unshared(rest_a, power), _unshared(rest_b, power))
    return Difference(exposure, contrast, sharpness, *measured, added, veil, *maps)


def clearly(found: Difference, limits: Difference) -> str | None:
    """The first kind in which `found` goes beyond `limits`, None when it is a copy."""
    for field in fields(Difference):
        if abs(getattr(found, field.name)) > getattr(limits, field.name):
            return field.name
    return None
