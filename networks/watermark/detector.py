"""The detector: how likely something is written or drawn over a photo, what it is and where."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch

from catalog.images import Rgb
from networks.interfaces import Identity
from networks.pyramid import MULTIPLE, STRIDE
from networks.watermark.kinds import KINDS, Kind
from networks.watermark.network import TOPS, MarkNet, evidence, inputs
from networks.weights import read_pinned

VERSION = "v5"
PLACE = Path(__file__).with_name("marks-v5.safetensors")
SHA256 = "ffe5943ad02c122cd97cec6bb88508c86d49bc0632e05916dfc977024aa4bab2"
SMALLEST_SIDE = 32
LONGEST_SIDE = 640
"""Larger images are reduced to this longer side."""
SCALES = (1.0, 0.6)
"""Of what is left, the sizes looked at: the smaller shows large letters whole."""


@dataclass(frozen=True)
class Marks:
    """What is over an image."""

    probability: float
    """0 .. 1, that there is any mark"""
    kinds: Mapping[Kind, float]
    """shares, in sum 1, of what the strongest part of it looks like"""
    cells: np.ndarray
    """(rows, columns) float32 in 0 .. 1: how likely each cell of the image belongs to a mark"""

    @property
    def kind(self) -> Kind:
        """The likeliest."""
        return max(self.kinds, key=lambda kind: self.kinds[kind])

    def where(self, shape: tuple[int, ...]) -> np.ndarray:
        """(h, w) float32 in 0 .. 1: the cells spread over an image of `shape`, (h, w, ...)."""
        return cv2.resize(self.cells, shape[1::-1], interpolation=cv2.INTER_LINEAR)


NO_MARKS = Marks(0.0, {kind: 1 / len(KINDS) for kind in KINDS}, np.zeros((1, 1), np.float32))


@dataclass(frozen=True)
class Score:
    """The logistic regression from an image's `evidence` to the probability of a mark."""

    weights: tuple[float, ...]
    """one of each of `TOPS` at each of `SCALES`"""
    bias: float

    def __call__(self, found: np.ndarray) -> np.ndarray:
        """(..., len(SCALES) * len(TOPS)) evidence to (...) 0 .. 1."""
        value = found @ np.array(self.weights) + self.bias
        return np.asarray(1 / (1 + np.exp(-np.clip(value, -50, 50))))


class MarkDetector:
    """Watermarks, captions, date stamps and logos, on a CPU, without any download."""

    def __init__(self, place: Path = PLACE, sha256: str = SHA256) -> None:
        from safetensors.torch import load

        data = read_pinned(place, sha256, "the watermark detector")
        weights = {name: value.float() for name, value in load(data).items()}
        self._score = Score(tuple(weights.pop("score").tolist()), float(weights.pop("bias")))
        self._net = MarkNet().eval().to(memory_format=torch.channels_last)
        self._net.load_state_dict(weights, strict=False)
        self.identity = Identity("marks", VERSION, sha256)

    def find(self, image: Rgb) -> Marks:
        """What is over an (h, w, 3) uint8 image; nothing below 32 pixels a side."""
        if min(image.shape[:2]) < SMALLEST_SIDE:
            return NO_MARKS
        logits, found = look(self._net, image)
        probability = float(self._score(found))
        flat = logits.flatten(1)
        strongest = flat[0].topk(min(TOPS[1], flat.shape[1])).indices
        shares = torch.softmax(flat[1:, strongest], dim=0).mean(dim=1).tolist()
        cells = torch.sigmoid(logits[0]).numpy()
        return Marks(probability, dict(zip(KINDS, shares, strict=True)), cells)

    def probability(self, image: Rgb) -> float:
        """0 .. 1 for an (h, w, 3) uint8 image, that there is any mark; see `find`."""
        return self.find(image).probability


def look(net: MarkNet, image: Rgb) -> tuple[torch.Tensor, np.ndarray]:
    """Logits by cell, (1 + len(KINDS), rows, columns), and the evidence at all `SCALES`."""
    maps = [_logits(net, _reduced(image, scale)) for scale in SCALES]
    return maps[0], np.concatenate([evidence(each[:1]).numpy()[0] for each in maps])


def _reduced(image: Rgb, scale: float) -> Rgb:
    share = min(LONGEST_SIDE / max(image.shape[:2]), 1.0) * scale
    image = np.ascontiguousarray(image)
    if share == 1:
        return image
    size = [max(round(side * share), SMALLEST_SIDE) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


@torch.inference_mode()
def _logits(net: MarkNet, image: Rgb) -> torch.Tensor:
    rows, columns = (-side % MULTIPLE for side in image.shape[:2])
    data = np.pad(inputs(image), ((0, 0), (0, rows), (0, columns)), mode="edge")
    batch = torch.from_numpy(data)[None].contiguous(memory_format=torch.channels_last)
    logits: torch.Tensor = net(batch)
    return logits[0, :, : -(-image.shape[0] // STRIDE), : -(-image.shape[1] // STRIDE)]


@lru_cache(maxsize=1)
def load_detector() -> MarkDetector:
    """The detector with its weights, read once a process."""
    return MarkDetector()
