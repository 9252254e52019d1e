"""Normal noise on a device, from the seeds that plans carry."""

import torch
from torch import Tensor

from networks.degraders import imaging
from networks.degraders.tensors.operators import upload


class Normals:
    """Makes normal noise from a seed.

    Of the device's own generator, it is as quick as the device and the same each time on the same
    kind of device, but not the noise of the NumPy path: only its distribution is the same. With
    `shared` it is drawn by NumPy and uploaded, number for number that of the NumPy path.
    """

    def __init__(self, device: torch.device, shared: bool = False) -> None:
        self.device, self.shared = device, shared

    def __call__(self, channels: int, height: int, width: int, seed: int) -> Tensor:
        """(c, h, w) float32 of mean 0 and deviation 1."""
        if self.shared:
            shape = (height, width) if channels == 1 else (height, width, channels)
            return upload(imaging.normals(shape, seed), self.device)
        generator = torch.Generator(self.device).manual_seed(seed)
        return torch.randn((channels, height, width), generator=generator, device=self.device)
