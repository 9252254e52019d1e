"""One version of a photo, and what is compared of two at the size at which each is."""

from dataclasses import dataclass

import numpy as np

from curation.deduplicate.align import content, warped
from curation.deduplicate.prints import Prints
from curation.deduplicate.verify import thumbnail
from curation.fingerprint import DECODE_SIDE
from curation.structure import CELLS, COLOUR_SIDE, colour_planes, texture_levels

CLEAR_BLOCKS = 1.1
"""Difference of blockiness that is clearly visible: beyond JPEG 30, so a re-encoded copy has less.
"""

_LEAST_GRAIN = 2.0  # grey levels of noise that neither size nor encoding explains
_JPEG_TAKES = 0.11  # grey levels of noise a percent of the quantisation scale
_TEXTURE = 4.0  # grey levels that texture adds to the grain by each halving of the size
_POOR, _FAIR = 12, 30  # JPEG qualities that are clearly apart in severity
_JPEG_EMPTIES = 0.0018  # log2 of texture a percent of the quantisation scale
_FAINT = 2.0  # grey levels of texture beside which an encoding's loss is nothing
_IN_MOST = 1.5  # times the median cell's difference that the mean's may be
_FEW_CELLS = 16
_SAME_SIZE = 1.15  # ratio of two sizes up to which scaling changes no texture
_RIM = 9  # pixels, across
_BANDS = (1.0, 6.0)  # sigmas, pixels of the map of colour, between which chroma structure lies
_TILE = 8  # pixels
_GREY = 0.8  # deviation of a chroma plane of a grey image


@dataclass(frozen=True)
class Version:
    """One version of a photo: its thumbnail (height, width) uint8, and measures at full size.

    `side` is the longer side of the image, `measured` that at which grain and blockiness were
    read, pixels; `quality` that of its JPEG encoding, 100 where it is none; `texture` (16, 16) and
    `colour` (2, height, width) are the maps of `curation.structure`.
    """

    thumbnail: np.ndarray
    side: int
    measured: int
    grain: float
    blockiness: float
    quality: int
    texture: np.ndarray
    colour: np.ndarray
    trim: np.ndarray


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
        texture_levels(prints.texture[row].as_py()),
        colour_planes(prints.colour[row].as_py()),
        prints.trim[row],
    )


def by_tile(values: np.ndarray, inside: np.ndarray, side: int) -> np.ndarray:
    """Mean of each whole block that is mostly inside, over what is inside; at least one value."""
    import cv2

    height, width = (n // side * side for n in values.shape)
    size = (width // side, height // side)
    if not min(size):
        return np.array([float(values[inside].mean())])
    weight = inside[:height, :width].astype(np.float32)
    share = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(values[:height, :width] * weight, size, interpolation=cv2.INTER_AREA)
    found = mean[share > 0.8] / share[share > 0.8]
    return np.asarray(found) if found.size else np.array([float(values[inside].mean())])


def texture(a: Version, b: Version, matrix: np.ndarray, spread: float) -> float:
    """Log2 of B's middle frequencies over A's in what both show, at the size at which each is.

    Scaling down makes them stronger and scaling up weaker, so only a loss in the smaller one, or at
    one size, is a difference. It must be one in most cells, which a watermark is not, and beyond
    what the image's own encoding empties: one saved again at high quality does not say so.
    """
    one, two, inside = warped(a.texture, b.texture, matrix, CELLS, smooth=False)
    inside &= content(inside.shape, matrix, a.trim, b.trim)
    if inside.sum() < _FEW_CELLS:
        return 0.0
    # Cubic interpolation can leave less than nothing beside a strong cell.
    one, two = (np.maximum(levels[inside], 0.0) + _FAINT for levels in (one, two))
    mean = float(np.log2(two.mean() / one.mean()))
    median = float(np.median(np.log2(two / one)))
    larger = b.measured * spread / max(a.measured, 1)  # B in pixels of A
    scaled_up = (mean < 0 and larger > _SAME_SIZE) or (mean > 0 and larger < 1 / _SAME_SIZE)
    if mean * median <= 0 or scaled_up:
        return 0.0
    found = min(abs(mean), _IN_MOST * abs(median))
    found -= _JPEG_EMPTIES * _steps((b if mean < 0 else a).quality)
    return float(np.copysign(max(0.0, found), mean))


def colour(a: Version, b: Version, matrix: np.ndarray) -> float:
    """Root mean square of the chroma that one has beyond a multiple of the other's, 30th percentile
    of cells; 0 where one of them is grey.
    """
    import cv2

    kept: list[np.ndarray] = []
    for plane in (0, 1):
        one, two, inside = warped(a.colour[plane], b.colour[plane], matrix, COLOUR_SIDE)
        bands = [
            cv2.GaussianBlur(x, (0, 0), 1.0) - cv2.GaussianBlur(x, (0, 0), 6.0) for x in (one, two)
        ]
        inside = cv2.erode(inside.astype(np.uint8), np.ones((_RIM, _RIM), np.uint8)) > 0
        if inside.sum() < 256:
            return 0.0
        powers = [float((band[inside] ** 2).mean()) for band in bands]
        if max(a.colour[plane].std(), 1e-3) < _GREY or max(b.colour[plane].std(), 1e-3) < _GREY:
            return 0.0
        more, less = (0, 1) if powers[0] > powers[1] else (1, 0)
        gain = float((bands[0][inside] * bands[1][inside]).mean()) / max(powers[less], 1e-3)
        rest = bands[more] - np.clip(gain, 0.0, 2.0) * bands[less]
        kept.append(by_tile(rest * rest, inside, _TILE))
    return float(np.percentile(np.sqrt(kept[0] + kept[1]), 30))


def grain(a: Version, b: Version, spread: float) -> float:
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


def blocks(a: Version, b: Version) -> float:
    """B's blockiness less A's; where one is encoded far worse, at least what is clearly visible."""
    found = b.blockiness - a.blockiness
    worse, better = min(a.quality, b.quality), max(a.quality, b.quality)
    if worse <= _POOR and better >= _FAIR:
        least = CLEAR_BLOCKS + 0.01
        found = max(found, least) if b.quality < a.quality else min(found, -least)
    return found
