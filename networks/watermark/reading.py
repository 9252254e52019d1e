"""What is written in an image, by RapidOCR with the PP-OCRv6 models that its wheel carries."""

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from typing import Any

import cv2
import numpy as np

from catalog.images import Rgb
from networks.interfaces import Identity
from networks.weights import folder_of, read_pinned

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
LONGEST_ASPECT = 4
"""Longer side over shorter. The library brings the shorter side to 736 pixels, so longer images
would take gigabytes: in them no line is found."""


LEAST_SURE = 0.5
"""Of 0 .. 1; the library's own limit."""


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
        folder = folder_of("rapidocr") / "models"
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
        weights = hashlib.sha256("\n".join(sha256 for _, sha256 in MODELS.values()).encode())
        self.identity = Identity("rapidocr", version("rapidocr"), weights.hexdigest())

    @cached_property
    def _engine(self) -> Any:
        # Loaded at the first mark: many runs see none.
        from rapidocr import RapidOCR

        return RapidOCR(params=self._parameters)

    def lines(self, image: Rgb) -> list[np.ndarray]:
        """Where lines are written in a `reduced` image: (4, 2) float32 `Line.corners` each."""
        if max(image.shape[:2]) > LONGEST_ASPECT * min(image.shape[:2]):
            return []
        found = self._engine(_bgr(image), use_det=True, use_cls=False, use_rec=False)
        return [] if found.boxes is None else [np.asarray(one, np.float32) for one in found.boxes]

    def read(self, image: Rgb, corners: np.ndarray) -> Line:
        """The line at `corners` of the image; its text is "" where it cannot be read."""
        from rapidocr.utils.process_img import get_rotate_crop_image

        part = get_rotate_crop_image(_bgr(image), corners)
        found = self._engine(part, use_det=False, use_cls=False, use_rec=True)
        sure = found.txts and found.scores and found.scores[0] >= LEAST_SURE
        return Line(found.txts[0].strip() if sure else "", corners)


def reduced(image: Rgb) -> Rgb:
    """(h, w, 3) uint8 of any size to at most `LONGEST_SIDE`."""
    share = LONGEST_SIDE / max(image.shape[:2])
    if share >= 1:
        return image
    size = [max(round(side * share), 1) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _bgr(image: Rgb) -> np.ndarray:
    return np.ascontiguousarray(image[:, :, ::-1])


@lru_cache(maxsize=1)
def load_reader() -> Reader:
    """The reader with its models, loaded once a process."""
    return Reader()
