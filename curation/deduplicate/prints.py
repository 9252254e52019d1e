"""The tables of `hash` in memory, as arrays over one order of images."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa

from curation.fingerprint import FRAME


@dataclass(frozen=True)
class Prints:
    """Fingerprints of n images. Hashes (n, 32) uint8; frames (n, 1024) uint8; trim (n, 4)."""

    ids: list[str]
    width: np.ndarray
    height: np.ndarray
    byte_size: np.ndarray
    jpeg_quality: np.ndarray  # 100 where the format is not JPEG
    license: list[str | None]
    phash: np.ndarray
    pdq: np.ndarray
    pdq_quality: np.ndarray
    trim: np.ndarray
    whole: np.ndarray
    inner: np.ndarray
    thumbnail: pa.ChunkedArray
    grain: np.ndarray
    blockiness: np.ndarray
    texture: pa.ChunkedArray
    colour: pa.ChunkedArray
    embedding: np.ndarray | None = None  # (n, width) float32 of length 1

    def __len__(self) -> int:
        return len(self.ids)

    def jpeg(self, index: int) -> bytes:
        """The encoded thumbnail of one image."""
        return self.thumbnail[index].as_py()


def _bytes(column: pa.ChunkedArray, width: int) -> np.ndarray:
    parts = [
        np.frombuffer(chunk.buffers()[1], np.uint8).reshape(-1, width)[chunk.offset :][: len(chunk)]
        for chunk in column.chunks
    ]
    return np.concatenate([np.empty((0, width), np.uint8), *parts])


def make_prints(
    hashes: pa.Table, fingerprints: pa.Table, embedding: np.ndarray | None = None
) -> Prints:
    """From HASHES and FINGERPRINTS, which hold the same images in the same order.

    `embedding` (n, width) float32 is of the same order.
    """
    if not hashes["image_id"].equals(fingerprints["image_id"]):
        raise ValueError("The hashes and the fingerprints are of different images.")

    def numbers(name: str) -> np.ndarray:
        return hashes[name].fill_null(100).to_numpy().astype(np.int64)

    trim = fingerprints["trim"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return Prints(
        hashes["image_id"].to_pylist(),
        numbers("width"),
        numbers("height"),
        numbers("byte_size"),
        numbers("jpeg_quality"),
        hashes["license"].to_pylist(),
        _bytes(hashes["phash"], 32),
        _bytes(hashes["pdq"], 32),
        numbers("pdq_quality"),
        np.asarray(trim, np.float32).reshape(len(hashes), 4),
        _bytes(fingerprints["whole"], FRAME * FRAME),
        _bytes(fingerprints["inner"], FRAME * FRAME),
        fingerprints["thumbnail"],
        fingerprints["grain"].to_numpy(),
        fingerprints["blockiness"].to_numpy(),
        fingerprints["texture"],
        fingerprints["colour"],
        embedding,
    )


def take(prints: Prints, rows: np.ndarray) -> Prints:
    """The images of some rows, in that order."""
    kept: dict[str, Any] = {}
    for field in fields(prints):
        value = getattr(prints, field.name)
        if isinstance(value, list):
            kept[field.name] = [value[row] for row in rows]
        elif isinstance(value, pa.ChunkedArray):
            kept[field.name] = value.take(pa.array(rows))
        else:
            kept[field.name] = None if value is None else value[rows]
    return Prints(**kept)
