"""Folders of a user's own patterns: glare, fog, rain photographed on their own."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import overload

import cv2
import numpy as np

from catalog import images
from catalog.errors import ImageRefused, UserError
from catalog.images import Rgb
from catalog.log import logger
from networks.degraders.base import Draw

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 40_000_000
_MOST_SIDE = 2048
"""Patterns are kept in memory at this longer side at most, px."""


class PatternFolder(Sequence[Rgb]):
    """The images below a folder, in the order of their content's hash, decoded when asked for.

    Links are not followed. Files that are too large or no image are left out with a warning, so
    all that is here can be decoded. `digest` depends on the contents alone, not on names.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(
                f"There is no folder of patterns {folder}.", "Name one, or null for none."
            )
        found: dict[str, Path] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            try:
                data = _bytes(path)
                images.decode(data, MAX_PIXELS)
            except ImageRefused as refused:
                logger(__name__).warning("pattern left out", file=path.name, why=refused.what)
                continue
            found.setdefault(images.image_id(data), path)
        if not found:
            raise UserError(
                f"No file in {folder} is an image of at most {MAX_PIXELS:,} pixels.",
                f"Put patterns there ({', '.join(images.FORMATS)}), or set null.",
            )
        self._paths = [found[key] for key in sorted(found)]
        self.digest = hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()
        self._read = lru_cache(maxsize=16)(_decoded)

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> Rgb: ...
    @overload
    def __getitem__(self, index: slice) -> list[Rgb]: ...
    def __getitem__(self, index: int | slice) -> Rgb | list[Rgb]:
        """Raises `ImageRefused` for a file that was changed since and can no longer be read."""
        if isinstance(index, slice):
            return [self._read(path) for path in self._paths[index]]
        return self._read(self._paths[index])


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImageRefused("too-many-bytes", f"It has more than {MAX_BYTES:,} bytes.")
        return path.read_bytes()
    except OSError as error:
        raise ImageRefused("unreadable", f"It cannot be read: {error}.") from error


def _decoded(path: Path) -> Rgb:
    image = images.decode(_bytes(path), MAX_PIXELS)
    factor = _MOST_SIDE / max(image.shape[:2])
    if factor >= 1:
        return image
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def draw_pattern(
    patterns: Sequence[Rgb], height: int, width: int, draw: Draw, upright: bool
) -> Rgb:
    """One of `patterns`, cut to the proportions of (height, width), mirrored at random and scaled.

    `upright` patterns are never turned upside down. What was drawn is recorded.
    """
    rng = draw.rng
    pattern = patterns[draw.integer("pattern", (0, len(patterns) - 1))]
    rows, columns = pattern.shape[:2]
    fit = min(rows / height, columns / width) * draw.uniform("pattern-share", (0.6, 1.0))
    h, w = max(1, int(height * fit)), max(1, int(width * fit))
    y, x = int(rng.integers(0, rows - h + 1)), int(rng.integers(0, columns - w + 1))
    cut = pattern[y : y + h, x : x + w]
    if rng.random() < 0.5:
        cut = cut[:, ::-1]
    if not upright and rng.random() < 0.5:
        cut = cut[::-1]
    how = cv2.INTER_AREA if h > height else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(cut), (width, height), interpolation=how)
