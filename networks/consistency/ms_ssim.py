"""Multi-scale structural similarity as a distance."""

import numpy as np
import torch
from pytorch_msssim import ms_ssim

from catalog.images import Rgb
from networks.consistency.sizes import mirrored, same_size
from networks.interfaces import Identity

SMALLEST_SIDE = 161
"""Five scales of an 11-tap window need a side of more than (11 - 1) * 2^4 pixels."""


class MsSsim:
    """1 - MS-SSIM (Wang, Simoncelli, Bovik 2003: five scales, the published weights), 0 .. 1.

    The mean over the red, green and blue channels, computed at full size. An image whose side is
    below `SMALLEST_SIDE` is continued by mirroring up to it, both images alike: the pixels keep
    their scale, and a 1 x 1 image gives a plain difference of luminance.
    """

    identity = Identity("ms-ssim", "v1")

    def distance(self, first: Rgb, second: Rgb) -> float:
        """0 (the same) .. 1. Raises `UserError` when the sizes differ."""
        same_size("MS-SSIM", first, second)
        if np.array_equal(first, second):
            return 0.0
        with torch.inference_mode():
            value = float(ms_ssim(_tensor(first), _tensor(second), data_range=255.0))
        return min(max(1.0 - value, 0.0), 1.0)


def _tensor(image: Rgb) -> torch.Tensor:
    """(1, 3, height, width) float32, 0 .. 255, each side at least `SMALLEST_SIDE`."""
    image = mirrored(image, SMALLEST_SIDE)
    return torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1).copy())[None]
