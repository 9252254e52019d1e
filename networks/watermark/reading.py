"""What is written in an image, by RapidOCR with the PP-OCRv6 models that its wheel carries."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from catalog.images import Rgb
from networks.interfaces import Identity
from networks.weights import read_pinned

MODELS = {
    "Det": (
        "PP-OCRv6_det_small.onnx",
        "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
    ),
    "Rec": (
        "PP-OCRv6_rec_small.onnx",
        "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
    ),
}
"""File and SHA-256 of what finds lines and of what reads them."""
LONGEST_SIDE = 1280
"""Larger images are reduced to this longer side."""
LONGEST_ASPECT = 16
"""Of longer images nothing is read: they are brought to a shorter side of 736 pixels for it."""


@dataclass(frozen=True)
class Line:
    """A line of writing."""

    text: str
    corners: np.ndarray
    """(4, 2) float32: x and y in pixels of the image, around the line"""


class Reader:
    """Latin, Chinese and Japanese writing, on a CPU by one thread, without any download."""

    def __init__(self) -> None:
        """Raises `UserError` when the models are missing or are other ones."""
        found = find_spec("rapidocr")
        folder = Path(str(found.origin)).parent / "models" if found else Path("rapidocr/models")
        parameters: dict[str, Any] = {
            "Global.log_level": "error",
            "Global.use_cls": False,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
        for part, (name, sha256) in MODELS.items():
            read_pinned(folder / name, sha256, "the reader of marks")
            # Named, they are not looked for, nor downloaded where they are not found.
            parameters[f"{part}.model_path"] = str(folder / name)
        self._parameters = parameters
        weights = "+".join(sha256 for _, sha256 in MODELS.values())
        self.identity = Identity("rapidocr", version("rapidocr"), weights)

    @cached_property
    def _engine(self) -> Any:
        # Loaded at the first mark: many runs see none.
        from rapidocr import RapidOCR

        return RapidOCR(params=self._parameters)

    def read(self, image: Rgb) -> list[Line]:
        """The lines of an (h, w, 3) uint8 image, none of a single character."""
        longer, shorter = max(image.shape[:2]), min(image.shape[:2])
        if longer > LONGEST_ASPECT * shorter:
            return []
        share = min(LONGEST_SIDE / longer, 1.0)
        if share < 1:
            image = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        found = self._engine(np.ascontiguousarray(image[:, :, ::-1]))
        if found.boxes is None or found.txts is None:
            return []
        return [
            Line(text, np.asarray(corners, np.float32) / share)
            for text, corners in zip(found.txts, found.boxes, strict=True)
            if len(text.strip()) > 1
        ]


@lru_cache(maxsize=1)
def load_reader() -> Reader:
    """The reader with its models, loaded once a process."""
    return Reader()
