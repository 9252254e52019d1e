"""Whether two versions of one photo differ in degradation, or only as copies do.

Blur, noise, compression, darkness and haze are what Mendline collects, so a version that differs
in one of them clearly is no copy. Encoding, size, a watermark or a text make no difference here.
"""

from dataclasses import dataclass

import numpy as np

from curation.deduplicate.align import warped
from curation.deduplicate.prints import Prints
from curation.deduplicate.verify import thumbnail
from curation.fingerprint import DECODE_SIDE

SIDE = 192
"""Longer side, pixels, at which two versions are compared; less where one of them is smaller."""

_BLOCK = 16
_FINE = 1.2  # sigma of the blur that parts detail from the rest, pixels
_COARSE = 10.0
_LEAST_GRAIN = 2.0  # grey levels of noise that neither size nor encoding explains
_JPEG_TAKES = 0.11  # grey levels of noise a percent of the quantisation scale
_TEXTURE = 4.0  # grey levels that texture adds to the grain by each halving of the size
_POOR, _FAIR = 12, 30  # JPEG qualities that are clearly apart in severity
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
    deviation of the smooth difference that is left after exposure and contrast.
    """

    exposure: float
    contrast: float
    sharpness: float
    grain: float
    blocks: float
    added: float
    veil: float


LIMITS = Difference(
    exposure=0.6, contrast=0.6, sharpness=0.3, grain=0.6, blocks=1.1, added=4.0, veil=12.0
)
"""Chosen on one half of the photos of benchmarks/dedupe_accuracy.py, reported on the other.

`blocks` is beyond JPEG 30, so that a re-encoded copy goes and only strong compression stays.
"""


def _by_block(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Mean of each whole block that is mostly inside, over what is inside; at least one value."""
    import cv2

    height, width = (n // _BLOCK * _BLOCK for n in values.shape)
    size = (width // _BLOCK, height // _BLOCK)
    if not min(size):
        return np.array([float(values[inside].mean())])
    weight = inside[:height, :width].astype(np.float32)
    share = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(values[:height, :width] * weight, size, interpolation=cv2.INTER_AREA)
    found = mean[share > 0.8] / share[share > 0.8]
    return np.asarray(found) if found.size else np.array([float(values[inside].mean())])


def _unshared(rest: np.ndarray, power: np.ndarray) -> float:
    """What of the unshared detail is not explained by resampling, from powers by block.

    Copies that were scaled or turned disagree by a share of the detail that is there; noise does
    so where there is none. The 30th percentile leaves a watermark's blocks out.
    """
    excess = np.maximum(0.0, rest - _RESAMPLED**2 * power)
    return float(np.sqrt(np.percentile(excess, 30)))


@dataclass(frozen=True)
class Version:
    """One version of a photo: its thumbnail (height, width) uint8, and measures at full size.

    `side` is the longer side of the image, `measured` that at which grain and blockiness were
    read, pixels; `quality` that of its JPEG encoding, 100 where it is none.
    """

    thumbnail: np.ndarray
    side: int
    measured: int
    grain: float
    blockiness: float
    quality: int


def version_of(prints: Prints, row: int) -> Version:
    """One image of a collection as a version of a photo."""
    sides = int(prints.width[row]), int(prints.height[row])
    quality = int(prints.jpeg_quality[row])
    draft = 1
    while quality < 100 and draft < 8 and min(sides) >= 2 * draft * DECODE_SIDE:
        draft *= 2
    return Version(
        thumbnail(prints.jpeg(row)),
        max(sides),
        max(sides) // draft,
        float(prints.grain[row]),
        float(prints.blockiness[row]),
        quality,
    )


def _grain(a: Version, b: Version, spread: float) -> float:
    """Log2 of B's noise over A's, 0 where size or encoding may have taken what the less has.

    Scaling down averages noise and makes grain of texture, and JPEG leaves out what is small beside
    its steps: about a tenth of the quantisation scale, in grey levels (measured on noise of 4 to 40
    at quality 90 to 10). `spread` is the scale from A's unit square to B's.
    """
    more, less = (a, b) if a.grain >= b.grain else (b, a)
    across = less.measured * (spread if less is b else 1.0 / max(spread, 1e-3)) / more.measured
    expected = more.grain * min(1.0, across) - _JPEG_TAKES * _steps(less.quality)
    expected -= _TEXTURE * max(0.0, np.log2(across))
    if expected - less.grain <= _LEAST_GRAIN:
        return 0.0
    ratio = float(np.log2((expected + 0.5) / (less.grain + 0.5)))
    return ratio if more is b else -ratio


def _steps(quality: int) -> float:
    """Scale in percent by which the JPEG standard's quantisation table is multiplied."""
    return 5000 / max(quality, 1) if quality < 50 else 200.0 - 2 * quality


def _blocks(a: Version, b: Version) -> float:
    """B's blockiness less A's; where one is encoded far worse, at least what is clearly visible."""
    found = b.blockiness - a.blockiness
    worse, better = min(a.quality, b.quality), max(a.quality, b.quality)
    if worse <= _POOR and better >= _FAIR:
        least = LIMITS.blocks + 0.01
        found = max(found, least) if b.quality < a.quality else min(found, -least)
    return found


def difference(a: Version, b: Version, matrix: np.ndarray) -> Difference:
    """Compare two versions, `matrix` mapping A's unit square to B's."""
    import cv2

    # Detail is compared at a size at which both have some: a small copy is not a blurred one.
    spread = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    true_a = min(a.side, max(a.thumbnail.shape))
    true_b = min(b.side, max(b.thumbnail.shape)) * spread
    longest = max(16, round(min(SIDE, true_a, true_b) * 0.9))
    grain, blocks = _grain(a, b, spread), _blocks(a, b)
    one, two, inside = warped(a.thumbnail, b.thumbnail, matrix, longest)
    # What one of them has beyond the common part, a border say, is smoothed into its edge.
    inside = cv2.erode(inside.astype(np.uint8), np.ones((_EDGE, _EDGE), np.uint8)) > 0
    if inside.sum() < 256:
        return Difference(0.0, 0.0, 0.0, grain, blocks, 0.0, 0.0)

    def smooth(image: np.ndarray, sigma: float) -> np.ndarray:
        return cv2.GaussianBlur(image, (0, 0), sigma)

    x, y = smooth(one, _FINE)[inside], smooth(two, _FINE)[inside]
    contrast = float(np.log2((y.std() + 2.0) / (x.std() + 2.0)))
    exposure = float(np.log2((y.mean() + 8.0) / (x.mean() + 8.0)))
    gain = float(y.std() + 0.5) / float(x.std() + 0.5)
    detail_a = (one - smooth(one, _FINE)) * np.sqrt(gain)
    detail_b = (two - smooth(two, _FINE)) / np.sqrt(gain)
    square_a = _by_block(detail_a * detail_a, inside)
    square_b = _by_block(detail_b * detail_b, inside)
    product = _by_block(detail_a * detail_b, inside)
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
    return Difference(exposure, contrast, sharpness, grain, blocks, added, veil)


def clearly(found: Difference, limits: Difference) -> str | None:
    """The first kind in which `found` goes beyond `limits`, None when it is a copy."""
    for kind in ("exposure", "contrast", "sharpness", "grain", "blocks", "added", "veil"):
        if abs(getattr(found, kind)) > getattr(limits, kind):
            return kind
    return None
