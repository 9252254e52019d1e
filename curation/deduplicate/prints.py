"""The tables of `hash` in memory, as arrays over one order of images."""

from collections.abc import Sequence
from dataclasses import dataclass

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

    def __len__(self) -> int:
        return len(self.ids)

    def jpeg(self, index: int) -> bytes:
        """The encoded thumbnail of one image."""
        return self.thumbnail[index].as_py()


def _bytes(column: pa.ChunkedArray, width: int) -> np.ndarray:
    joined = b"".join(column.to_pylist())
    return np.frombuffer(joined, np.uint8).reshape(len(column), width)


def make_prints(hashes: pa.Table, fingerprints: pa.Table) -> Prints:
    """From HASHES and FINGERPRINTS, which hold the same images in the same order."""
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
    )


def join(parts: Sequence[tuple[pa.Table, pa.Table]]) -> Prints:
    """Several pairs of tables, one after the other."""
    hashes, fingerprints = zip(*parts, strict=True)
    return make_prints(pa.concat_tables(hashes), pa.concat_tables(fingerprints))
