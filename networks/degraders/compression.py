"""Compression: what re-uploading does to a picture."""

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
_SCALED, _UNSCALED = 1.25, 0.8
"""Factors of the quality. By GMSD and RMSE against the photo, the same quality with and without
down-scaling differ by 0.5 to 0.7 of a severity."""


class CompressionDegrader(ParametricDegrader[CompressionRanges]):
    """Down-scaling, then one or more encodings, then the old size again."""

    degradation: ClassVar[Degradation] = Degradation.COMPRESSION

    def _apply(self, image: Rgb, draw: Draw) -> Rgb:
        ranges, rng = self.ranges, draw.rng
        height, width = image.shape[:2]
        factor = draw.graded("downscale", ranges.downscale) if rng.random() < 0.6 else 1.0
        draw.record("downscale", factor)
        small = (max(_MIN_SIDE, round(height / factor)), max(_MIN_SIDE, round(width / factor)))
        rounds = draw.integer("rounds", ranges.rounds)
        last = draw.graded("quality", ranges.quality)
        # Scaled up again, blocks show more; the same severity should look as strong either way.
        last = draw.record("quality", last * (_SCALED if factor > 1 else _UNSCALED))
        current = resize(image, *small, cv2.INTER_AREA) if small != (height, width) else image
        for turn in range(rounds - 1):
            # Earlier rounds were milder, and their grid of blocks lay elsewhere.
            quality = int(np.clip(draw.uniform(f"quality-{turn}", (last, 95.0)), 1, 100))
            dy, dx = int(rng.integers(0, 8)), int(rng.integers(0, 8))
            moved = cv2.copyMakeBorder(current, dy, 0, dx, 0, cv2.BORDER_REFLECT_101)
            current = jpeg(moved, quality, bool(rng.random() < ranges.chroma))[dy:, dx:]
        if draw.chance("webp", ranges.webp):
            # WebP's scale is milder than JPEG's at the same number.
            current = webp(np.ascontiguousarray(current), max(1, int(last * 0.5)))
        else:
            chroma = draw.chance("chroma", ranges.chroma)
            current = jpeg(np.ascontiguousarray(current), max(1, int(last)), chroma)
        if current.shape[:2] == (height, width):
            return current
        up = draw.kind("up", {"cubic": 0.6, "linear": 0.3, "nearest": 0.1})
        return resize(current, height, width, _UP[up])
