"""How likely it is that content was added to, or removed from, one side of a pair."""

import hashlib
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch

from catalog.degradations import Degradation
from catalog.files import atomic_file
from catalog.images import Rgb
from networks.changes.maps import change_maps
from networks.changes.network import ChangeNet, score
from networks.interfaces import Identity
from networks.weights import read_pinned

VERSION = "v1"
PLACE = Path(__file__).with_name("changes-v1.safetensors")
SHA256 = "af9bc32b1ab6c29361731eef12d483edcf2766a97d8834bd0e32ce0ed2181bdd"


class ChangeDetector:
    """Compares two aligned images, on a CPU, without any download."""

    def __init__(self, place: Path = PLACE, sha256: str = SHA256) -> None:
        from safetensors.torch import load

        data = read_pinned(place, sha256, "the detector of changes")
        weights = {name: value.float() for name, value in load(data).items()}
        self._levels = weights.pop("levels").numpy()
        self._net = ChangeNet().eval()
        self._net.load_state_dict(weights)
        self.identity = Identity("changes", VERSION, sha256)

    def probability(self, degraded: Rgb, target: Rgb, degradation: Degradation) -> float:
        """0 .. 1 for two (h, w, 3) uint8 images of one size.

        One half where 1.5 % of the sound pairs of held-out photos lie above.
        """
        number = list(Degradation).index(degradation)
        value = float(score(self._logits(degraded, target, number)[None])[0])
        return float(1 / (1 + np.exp(self._levels[number] - value)))

    def where(self, degraded: Rgb, target: Rgb, degradation: Degradation) -> np.ndarray:
        """(h, w) float32 in 0 .. 1: how likely each pixel belongs to a change."""
        number = list(Degradation).index(degradation)
        logits = self._logits(degraded, target, number) - float(self._levels[number])
        likely = torch.sigmoid(logits).numpy()
        size = (degraded.shape[1], degraded.shape[0])
        return cv2.resize(likely, size, interpolation=cv2.INTER_LINEAR)

    @torch.inference_mode()
    def _logits(self, degraded: Rgb, target: Rgb, number: int) -> torch.Tensor:
        maps = torch.from_numpy(change_maps(degraded, target))[None]
        logits: torch.Tensor = self._net(maps, torch.tensor([number]))[0]
        return logits


@lru_cache(maxsize=1)
def load_detector() -> ChangeDetector:
    """The detector with its weights, read once a process."""
    return ChangeDetector()


def save(net: ChangeNet, levels: np.ndarray, place: Path) -> str:
    """Write the weights as float16 safetensors; the SHA-256 of the file."""
    from safetensors.torch import save as to_bytes

    weights = {name: value.half().contiguous() for name, value in net.state_dict().items()}
    data = to_bytes({**weights, "levels": torch.tensor(levels).float()})
    with atomic_file(place) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()
