"""Compression: what re-uploading does to a picture."""

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.degraders import CompressionRanges
from networks.degraders.base import Draw, ParametricDegrader
from networks.degraders.imaging import jpeg, resize, webp

_UP = {"cubic": cv2.INTER_CUBIC, "linear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST_EXACT}
_MIN_SIDE = 16
_WEBP_SIDE = 16_383
"""Longest side of a WebP, px; what is longer is encoded as JPEG."""

_SCALED, _UNSCALED = 1.25, 0.8
"""Factors of the quality. By GMSD and RMSE against the photo, the same quality with and without
down-scaling differ by 0.5 to 0.7 of a severity."""


@dataclass(frozen=True)
class Encoding:
    """One turn through a codec."""

    quality: int
    chroma: bool
    """JPEG with colour at half resolution."""
    webp: bool = False
    offset: tuple[int, int] = (0, 0)
    """(y, x): how far the grid of blocks lies from the image's corner."""


@dataclass(frozen=True)
class CompressionPlan:
    """A smaller size, encodings in order, and how the old size comes back."""

    small: tuple[int, int]
    encodings: tuple[Encoding, ...]
    up: str


class CompressionDegrader(ParametricDegrader[CompressionRanges, CompressionPlan]):
    """Down-scaling, then one or more encodings, then the old size again."""

    degradation: ClassVar[Degradation] = Degradation.COMPRESSION

    def _plan(self, image: Rgb, draw: Draw) -> CompressionPlan:
        ranges, rng = self.ranges, draw.rng
        height, width = image.shape[:2]
        factor = draw.graded("downscale", ranges.downscale) if rng.random() < 0.6 else 1.0
        draw.record("downscale", factor)
        small = (max(_MIN_SIDE, round(height / factor)), max(_MIN_SIDE, round(width / factor)))
        rounds = draw.integer("rounds", ranges.rounds)
        last = draw.graded("quality", ranges.quality)
        # Scaled up again, blocks show more; the same severity should look as strong either way.
        last = min(100.0, last * (_SCALED if factor > 1 else _UNSCALED))
        draw.record("quality", last)
        encodings = []
        for turn in range(rounds - 1):
            # Earlier rounds were milder, and their grid of blocks lay elsewhere.
            milder = (last, max(last, 95.0))
            quality = int(np.clip(draw.uniform(f"quality-{turn}", milder), 1, 100))
            offset = (int(rng.integers(0, 8)), int(rng.integers(0, 8)))
            chroma = bool(rng.random() < ranges.chroma)
            encodings.append(Encoding(quality, chroma, offset=offset))
        webp = draw.chance("webp", ranges.webp) and max(small) <= _WEBP_SIDE
        if draw.record("webp", int(webp)):
            # WebP's scale is milder than JPEG's at the same number.
            encodings.append(Encoding(max(1, int(last * 0.5)), True, webp=True))
        else:
            chroma = draw.chance("chroma", ranges.chroma)
            encodings.append(Encoding(max(1, int(last)), chroma))
        up = draw.kind("up", {"cubic": 0.6, "linear": 0.3, "nearest": 0.1})
        return CompressionPlan(small, tuple(encodings), up)

    def _render(self, image: Rgb, plan: CompressionPlan) -> Rgb:
        size = (image.shape[0], image.shape[1])
        current = resize(image, *plan.small, cv2.INTER_AREA) if plan.small != size else image
        for turn in plan.encodings:
            dy, dx = turn.offset
            moved = cv2.copyMakeBorder(current, dy, 0, dx, 0, cv2.BORDER_REFLECT_101)
            if turn.webp:
                current = webp(moved, turn.quality)
            else:
                current = jpeg(moved, turn.quality, turn.chroma)
            current = np.ascontiguousarray(current[dy:, dx:])
        return current if plan.small == size else resize(current, *size, _UP[plan.up])
