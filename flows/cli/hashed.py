"""Hashes of a folder's files for `mendline dedupe`, with those that an earlier run kept."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from catalog.images import VERSION, image_id
from curation.hash import VERSION as HASH_VERSION
from curation.hash_files import hash_files
from flows.cli.unfinished import Kept, Unfinished, key

BATCH = 64
"""Rows that are put on the disk at once."""
_BYTES = "base64:"
"""Prefix of the text of a column of bytes."""


def hashed(files: Sequence[Path], thumbnail_side: int, kept: Kept) -> Iterator[dict[str, Any]]:
    """`hash_files` of every file, in order; what is kept is not computed again.

    A row is kept by the bytes of its file and all that it depends on besides. To look rows up,
    files are read once more than otherwise, which takes a small part of hashing them.
    """
    depends = ("dedupe/1", VERSION, HASH_VERSION, str(thumbnail_side))
    known: list[str | None] = [None] * len(files)
    if isinstance(kept, Unfinished) and len(kept):
        with ThreadPoolExecutor() as pool:
            keys = pool.map(lambda file: _key(file, depends), files)
            known = [one if one and one in kept else None for one in keys]
    missing = [file for file, one in zip(files, known, strict=True) if one is None]
    fresh = _keeping(hash_files(missing, thumbnail_side), kept, depends)
    for one in known:
        yield next(fresh) if one is None else _read(kept.get(one))
    for _ in fresh:  # to its end, where the last rows are kept
        pass


def _key(file: Path, depends: Sequence[str]) -> str | None:
    try:
        return key(image_id(file.read_bytes()), *depends)
    except OSError:
        return None


def _keeping(
    rows: Iterator[dict[str, Any]], kept: Kept, depends: Sequence[str]
) -> Iterator[dict[str, Any]]:
    new: dict[str, Any] = {}
    for row in rows:
        if "refused" not in row:
            new[key(row["image_id"], *depends)] = _written(row)
        if len(new) >= BATCH:
            kept.put(new)
            new = {}
        yield row
    kept.put(new)


def _written(row: Mapping[str, Any]) -> dict[str, Any]:
    """For JSON, without a loss."""
    return {
        name: _BYTES + base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in row.items()
    }


def _read(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: base64.b64decode(value.removeprefix(_BYTES))
        if isinstance(value, str) and value.startswith(_BYTES)
        else value
        for name, value in row.items()
    }
