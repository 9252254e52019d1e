"""The detector: how likely it is that something is written or drawn over a photo, and where."""

import hashlib
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch

from catalog.errors import UserError
from catalog.files import atomic_file
from catalog.images import Rgb
from networks.interfaces import Identity
from networks.watermark.network import MarkNet, inputs, score

VERSION = "v1"
PLACE = Path(__file__).with_name("marks-v1.safetensors")
SHA256 = "d08c001b73144a75d035a4c3d754303cdb9be3534c4775d864d4a120be908f7f"
SMALLEST_SIDE = 32
LONGEST_SIDE = 768
"""Larger images are reduced to this longer side."""
_MULTIPLE = 16


class MarkDetector:
    """Watermarks, captions, date stamps and logos, on a CPU, without any download."""

    def __init__(self, place: Path = PLACE, sha256: str = SHA256) -> None:
        from safetensors.torch import load

        try:
            data = place.read_bytes()
        except OSError as error:
            raise UserError(
                f"The weights of the watermark detector, {place}, cannot be read: {error}.",
                "Install Mendline again.",
            ) from error
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise UserError(
                f"The weights of the watermark detector, {place}, have the SHA-256 "
                f"{found[:12]}..., not {sha256[:12]}...",
                "Install Mendline again, or `git checkout` the file.",
            )
        weights = {name: value.float() for name, value in load(data).items()}
        self._level = float(weights.pop("level"))
        self._net = MarkNet().eval()
        self._net.load_state_dict(weights, strict=False)
        self.identity = Identity("marks", VERSION, found)

    def probability(self, image: Rgb) -> float:
        """0 .. 1 for an (h, w, 3) uint8 image; 0 below 32 pixels a side.

        One half where one in a hundred unmarked crops of the held-out pictures lies above.
        """
        if min(image.shape[:2]) < SMALLEST_SIDE:
            return 0.0
        value = float(score(self._logits(image))[0])
        return float(1 / (1 + np.exp(self._level - value)))

    def where(self, image: Rgb) -> np.ndarray:
        """(h, w) float32 in 0 .. 1: how likely each pixel belongs to a mark."""
        if min(image.shape[:2]) < SMALLEST_SIDE:
            return np.zeros(image.shape[:2], np.float32)
        likely = torch.sigmoid(self._logits(image)[0]).numpy()
        size = (image.shape[1], image.shape[0])
        return cv2.resize(likely, size, interpolation=cv2.INTER_LINEAR)

    @torch.inference_mode()
    def _logits(self, image: Rgb) -> torch.Tensor:
        share = LONGEST_SIDE / max(image.shape[:2])
        image = np.ascontiguousarray(image)
        if share < 1:
            size = [max(round(side * share), SMALLEST_SIDE) for side in image.shape[1::-1]]
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        rows, columns = (-side % _MULTIPLE for side in image.shape[:2])
        data = np.pad(inputs(image), ((0, 0), (0, rows), (0, columns)), mode="edge")
        logits: torch.Tensor = self._net(torch.from_numpy(data)[None])
        return logits[:, : -(-image.shape[0] // 4), : -(-image.shape[1] // 4)]


@lru_cache(maxsize=1)
def load_detector() -> MarkDetector:
    """The detector with its weights, read once a process."""
    return MarkDetector()


def save(net: MarkNet, level: float, place: Path) -> str:
    """Write the weights as float16 safetensors; the SHA-256 of the file."""
    from safetensors.torch import save as to_bytes

    weights = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in net.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    data = to_bytes({**weights, "level": torch.tensor(level)})
    with atomic_file(place) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()
