"""Hashes of plain files, by as many processes as there are cores."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from catalog.errors import ImageRefused
from catalog.images import image_id, read_header
from catalog.threads import cores, limit_threads
from curation.hash import hash_image
from curation.worker_pool import worker_pool

_CHUNK = 8
_FEW = 32
"""Fewer files than this are not worth starting processes for."""


def hash_file(thumbnail_side: int, path: Path) -> dict[str, Any]:
    """The columns of HASHES and FINGERPRINTS of a file; `refused` says why it has none of them."""
    try:
        data = path.read_bytes()
        header = read_header(data)
        row = {"width": header.width, "height": header.height, "format": header.format}
        return {"image_id": image_id(data), **row, **hash_image(data, thumbnail_side)}
    except ImageRefused as refused:
        return {"refused": refused.what}
    except OSError as error:
        return {"refused": f"The file cannot be read: {error}."}


def hash_files(
    paths: Sequence[Path], thumbnail_side: int, processes: int | None = None
) -> Iterator[dict[str, Any]]:
    """`hash_file` of every path, in order; `processes` is by default the number of cores."""
    function = partial(hash_file, thumbnail_side)
    count = min(processes or cores(), len(paths) // _FEW)
    if count <= 1:
        yield from map(function, paths)
        return
    with worker_pool(count, "hash", limit_threads, (1,)) as pool:
        yield from pool.map(function, paths, chunksize=_CHUNK)
