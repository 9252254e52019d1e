"""The layout of an image: its lowest frequencies, and those of views of it, for candidates.

A view is the image mirrored, cropped or turned a little. All views of a 32 x 32 frame are linear
in its pixels, so the layouts of a million images are one matrix product a view.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from curation.fingerprint import FRAME

_FREQUENCIES = 10
WIDTH = _FREQUENCIES * _FREQUENCIES


@dataclass(frozen=True)
class View:
    """A mirror, then a centred crop (share of a side, at each end), then a turn in degrees."""

    mirror: bool = False
    crop: float = 0.0
    turn: float = 0.0

    def matrix(self) -> np.ndarray:
        """(3, 3): from a point of the view to the point of the image, both in the unit square."""
        angle = np.deg2rad(self.turn)
        scale = 1.0 - 2.0 * self.crop
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        turned = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
        centre = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
        back = np.array([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]])
        flip = np.diag([-1.0 if self.mirror else 1.0, 1.0, 1.0])
        return centre @ flip @ turned @ back


CROP = 0.05
"""Share of a side from which a view is a crop, not only a turn without its corners."""

VIEWS = tuple(
    View(mirror, crop, turn)
    for mirror in (False, True)
    for crop, turn in ((0.0, 0.0), (CROP, 0.0), (0.10, 0.0), (0.02, 4.0), (0.02, -4.0))
)


@lru_cache(maxsize=len(VIEWS))
def _operator(view: View) -> np.ndarray:
    """(1024, WIDTH): a frame to the weighted DCT of its view, without the mean."""
    import cv2
    from scipy.fft import dctn

    # OpenCV's pixel centres are at whole numbers, the unit square's edges at its ends.
    scale = np.array([[FRAME, 0, -0.5], [0, FRAME, -0.5], [0, 0, 1.0]])
    warp = (scale @ view.matrix() @ np.linalg.inv(scale))[:2]
    basis = np.eye(FRAME * FRAME, dtype=np.float32).reshape(-1, FRAME, FRAME)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = np.stack(
        [
            cv2.warpAffine(one, warp, (FRAME, FRAME), flags=flags, borderMode=cv2.BORDER_REPLICATE)
            for one in basis
        ]
    )
    low = dctn(warped, axes=(1, 2), norm="ortho")[:, :_FREQUENCIES, :_FREQUENCIES]
    index = np.arange(_FREQUENCIES)
    # Photos fall off as 1/f: weighting by f makes the frequencies count alike.
    weight = np.sqrt(index[:, None] ** 2 + index[None, :] ** 2)
    return (low * weight).reshape(FRAME * FRAME, WIDTH).astype(np.float32)


def layouts(frames: np.ndarray, view: View = VIEWS[0]) -> np.ndarray:
    """(n, 1024) uint8 frames to (n, WIDTH) float32 of length 1; a plain frame gives zeros."""
    low = frames.astype(np.float32) @ _operator(view)
    length = np.linalg.norm(low, axis=1, keepdims=True)
    # Below about one grey level of structure there is nothing but rounding.
    return np.where(length > 100.0, low / np.maximum(length, 1e-9), 0.0).astype(np.float32)
