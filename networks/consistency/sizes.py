"""Sizes that a distance between two images can take."""

import numpy as np

from catalog.errors import UserError
from catalog.images import Rgb


def same_size(measure: str, first: Rgb, second: Rgb) -> None:
    """Raises `UserError` when the sizes differ or there are no pixels."""
    if first.shape != second.shape:
        raise UserError(
            f"{measure} compares images of one size; these are {first.shape[1]} x "
            f"{first.shape[0]} and {second.shape[1]} x {second.shape[0]}.",
            "Resize one to the other before.",
        )
    if min(first.shape[:2]) == 0:
        raise UserError(f"{measure} was given an image without pixels.", "Leave it out.")


def mirrored(image: Rgb, smallest: int) -> Rgb:
    """Continue a small image by mirroring until both sides are at least `smallest` pixels."""
    height, width = image.shape[:2]
    missing = (max(smallest - height, 0), max(smallest - width, 0))
    if not any(missing):
        return image
    return np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
