"""Gradient magnitude similarity deviation as a distance."""

import numpy as np
import torch

from catalog.images import Rgb
from networks.consistency.sizes import mirrored, same_size
from networks.interfaces import Identity

SMALLEST_SIDE = 6
"""Halved, an image must still hold a 3 x 3 Prewitt window."""


class Gmsd:
    """GMSD (Xue, Zhang, Mou, Bovik 2014) of luma by the package piq: 0 (the same) .. about 0.35.

    The spread, over the image, of how alike the two gradient magnitudes are: it is small where a
    whole image changed alike (a lifted exposure) and large where a part was repainted.
    """

    identity = Identity("gmsd", "v1")

    def distance(self, first: Rgb, second: Rgb) -> float:
        """Raises `UserError` when the sizes differ."""
        from piq import gmsd

        same_size("GMSD", first, second)
        if np.array_equal(first, second):
            return 0.0
        with torch.inference_mode():
            return float(gmsd(_tensor(first), _tensor(second), data_range=255.0))


def _tensor(image: Rgb) -> torch.Tensor:
    """(1, 3, height, width) float32, 0 .. 255."""
    image = mirrored(image, SMALLEST_SIDE)
    return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))[None]
