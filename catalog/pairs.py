"""The identity of a training pair, and the images it is of."""

import hashlib
from collections.abc import Mapping
from typing import Any

IMAGES = ("degraded_id", "clean_id", "photo_id", "layer_id")
"""Columns of a pair that name an image: its sides, and what was collected behind them. A pair goes
when one of these is taken down."""


def image_ids(pair: Mapping[str, Any]) -> set[str]:
    """Ids of all images of a row of `schemas.PAIRS` or `schemas.DATASET`."""
    return {key for name in IMAGES if (key := pair.get(name))}


def pair_id(degraded_id: str, clean_id: str, degradation: str) -> str:
    """SHA-256 over the two image ids and the degradation, 64 hexadecimal digits.

    A photo can carry two degradations, so the same two images can be two pairs.
    """
    return hashlib.sha256(f"{degraded_id}\n{clean_id}\n{degradation}".encode()).hexdigest()
