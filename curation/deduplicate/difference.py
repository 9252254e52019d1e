"""Whether two versions of one photo differ in degradation, or only as copies do.

Blur, noise, compression, darkness and haze are what Mendline collects, so a version that differs
in one of them clearly is no copy. Encoding, size, a watermark or a text make no difference here.
"""

from dataclasses import dataclass

import numpy as np

from curation.deduplicate.align import warped

SIDE = 192
"""Longer side, pixels, at which two versions are compared; less where one of them is smaller."""

_BLOCK = 16
_FINE = 1.2  # sigma of the blur that parts detail from the rest, pixels
_COARSE = 10.0
_LEAST_GRAIN = 3.5  # grey levels of noise, below which a ratio says nothing
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


def _power(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Mean square of each block that is mostly inside."""
    found = []
    for y in range(0, values.shape[0], _BLOCK):
        for x in range(0, values.shape[1], _BLOCK):
            here = inside[y : y + _BLOCK, x : x + _BLOCK]
            if here.mean() > 0.8:
                block = values[y : y + _BLOCK, x : x + _BLOCK][here]
                found.append(float(np.mean(block * block)))
    return np.array(found or [0.0])


def _unshared(rest: np.ndarray, power: np.ndarray) -> float:
    """What of the unshared detail is not explained by resampling, from powers by block.

    Copies that were scaled or turned disagree by a share of the detail that is there; noise does
    so where there is none. The 30th percentile leaves a watermark's blocks out.
    """
    excess = np.maximum(0.0, rest - _RESAMPLED**2 * power)
    return float(np.sqrt(np.percentile(excess, 30)))


@dataclass(frozen=True)
class Version:
    """One version of a photo: its thumbnail (height, width) uint8, and measures at full size."""

    thumbnail: np.ndarray
    side: int  # longer side of the image itself, pixels
    grain: float
    blockiness: float


def difference(a: Version, b: Version, matrix: np.ndarray) -> Difference:
    """Compare two versions, `matrix` mapping A's unit square to B's."""
    import cv2

    # Detail is compared at a size at which both have some: a small copy is not a blurred one.
    spread = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    true_a = min(a.side, max(a.thumbnail.shape))
    true_b = min(b.side, max(b.thumbnail.shape)) * spread
    longest = max(16, round(min(SIDE, true_a, true_b) * 0.9))
    grain = float(np.log2((b.grain + 0.5) / (a.grain + 0.5)))
    grain = grain if abs(a.grain - b.grain) > _LEAST_GRAIN else 0.0
    blocks = b.blockiness - a.blockiness
    one, two, inside = warped(a.thumbnail, b.thumbnail, matrix, longest)
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
    u, v = detail_a[inside], detail_b[inside]
    common = float((u * v).sum())
    powers = (float((u * u).sum()) + 1e-6, float((v * v).sum()) + 1e-6)
    # Projection of each on the other: noise is in neither, blur shrinks one of them.
    sharper = float(np.log2(max(common / powers[0], 1e-3) / max(common / powers[1], 1e-3)))
    coherence = common / float(np.sqrt(powers[0] * powers[1]))
    sharpness = sharper / 2 * max(0.0, coherence)
    power = np.maximum(_power(detail_a, inside), _power(detail_b, inside))
    rest_a = _power(detail_a - detail_b * (common / powers[1]), inside)
    rest_b = _power(detail_b - detail_a * (common / powers[0]), inside)
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


LIMITS = Difference(
    exposure=0.6, contrast=0.6, sharpness=0.45, grain=0.9, blocks=0.75, added=4.0, veil=12.0
)
"""Chosen on the transformations of benchmarks/dedupe_accuracy.py."""
