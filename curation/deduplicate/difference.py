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


@dataclass(frozen=True)
class Difference:
    """How version B differs from A, each 0 where it does not; luma 0..255.

    `exposure`: log2 of the ratio of the mean levels. `contrast`: log2 of the ratio of the standard
    deviations. `sharpness`: log2 of the ratio of the detail both have, contrast taken out.
    `grain`: standard deviation of detail that only one has, in the median block. `veil`: standard
    deviation of the smooth difference that is left after exposure and contrast.
    """

    exposure: float
    contrast: float
    sharpness: float
    grain: float
    veil: float


def _median_block(values: np.ndarray, inside: np.ndarray) -> float:
    """Median over blocks of the root mean square."""
    found = []
    for y in range(0, values.shape[0], _BLOCK):
        for x in range(0, values.shape[1], _BLOCK):
            here = inside[y : y + _BLOCK, x : x + _BLOCK]
            if here.mean() > 0.8:
                block = values[y : y + _BLOCK, x : x + _BLOCK][here]
                found.append(float(np.sqrt(np.mean(block * block))))
    return float(np.median(found)) if found else 0.0


def difference(a: np.ndarray, b: np.ndarray, matrix: np.ndarray, longest: int) -> Difference:
    """Compare two (height, width) uint8 thumbnails, `matrix` mapping A's unit square to B's.

    `longest`: the longer side at which both have true detail, pixels.
    """
    import cv2

    one, two, inside = warped(a, b, matrix, min(SIDE, longest))
    if inside.sum() < 256:
        return Difference(0.0, 0.0, 0.0, 0.0, 0.0)

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
    grain_a = _median_block(detail_a - detail_b * (common / powers[1]), inside)
    grain_b = _median_block(detail_b - detail_a * (common / powers[0]), inside)
    far_a, far_b = smooth(one, _COARSE)[inside], smooth(two, _COARSE)[inside]
    slope, offset = np.polyfit(far_a, far_b, 1) if far_a.std() > 1 else (1.0, 0.0)
    veil = float((far_b - slope * far_a - offset).std()) / max(0.25, min(abs(float(slope)), 4.0))
    return Difference(exposure, contrast, sharpness, max(grain_a, grain_b), veil)


def clearly(found: Difference, limits: Difference) -> str | None:
    """The first kind in which `found` goes beyond `limits`, None when it is a copy."""
    for kind in ("exposure", "contrast", "sharpness", "grain", "veil"):
        if abs(getattr(found, kind)) > getattr(limits, kind):
            return kind
    return None


LIMITS = Difference(exposure=0.6, contrast=0.6, sharpness=0.45, grain=3.0, veil=12.0)
"""Tuned with benchmarks/dedupe_accuracy.py."""
