"""The photos, and which of them are held out."""

from functools import lru_cache
from pathlib import Path

import cv2

from catalog.images import Rgb, decode
from networks.judges.proxy.fit.photos import all_photos, is_held_out
from networks.judges.proxy.fit.sources import landscapes

LONGEST = 1000
"""Pixels of the longer side at which photos are kept."""

__all__ = ["is_held_out", "load_photos"]


@lru_cache(maxsize=1)
def load_photos(folder: Path) -> tuple[Rgb, ...]:
    """All photos of the unpacked packages below `folder`. Raises `UserError` for a missing one."""
    listed = [_reduced(photo.load(folder)) for photo in all_photos()]
    return (*listed, *(_reduced(decode(path.read_bytes())) for path in landscapes(folder)))


def _reduced(image: Rgb) -> Rgb:
    share = LONGEST / max(image.shape[:2])
    if share >= 1:
        return image
    return cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
