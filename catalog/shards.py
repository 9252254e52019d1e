"""The shard store: image bytes in Parquet files that other tools read as they are.

A shard is `shard-00000.parquet` with the columns of `schemas.SHARD`; the `image` column has the
layout and the schema metadata by which Hugging Face `datasets` shows it as images. Bytes are
written once; later stages add side tables keyed by image id.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalog import images, schemas
from catalog.errors import UserError
from catalog.files import TEMPORARY_SUFFIX, disk_errors

MAX_BYTES = 256 * 2**20
MAX_IMAGES = 1024
ROW_GROUP = 16
"""Images in a row group, the unit of a random read."""

_PATTERN = "shard-*.parquet"


def _features() -> bytes:
    features: dict[str, dict[str, str]] = {
        name: {"dtype": str(schemas.SHARD.field(name).type), "_type": "Value"}
        for name in schemas.SHARD.names
    }
    features["image"] = {"_type": "Image"}
    return json.dumps({"info": {"features": features}}).encode()


SHARD_SCHEMA = schemas.SHARD.with_metadata({b"huggingface": _features()})


@dataclass(frozen=True)
class Stored:
    """One image of the store, with the provenance columns of `schemas.PROVENANCE`."""

    image_id: str
    data: bytes
    width: int
    height: int
    format: str
    provenance: Mapping[str, str | None]

    @property
    def pixels(self) -> int:
        """Height times width."""
        return self.width * self.height

    def decode(self) -> images.Rgb:
        """(height, width, 3) uint8 sRGB; raises `ImageRefused`."""
        return images.decode(self.data)


class ShardWriter:
    """Writes images to shards below `folder`; each shard appears whole or not at all.

    Shards already in the folder are kept and the numbering goes on after them, so a killed writer
    loses at most the shard it was filling. Leaving the context finishes the open shard; leaving it
    by an exception discards that shard.
    """

    def __init__(
        self, folder: Path, max_bytes: int = MAX_BYTES, max_images: int = MAX_IMAGES
    ) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.max_images = max_images
        self._rows: list[dict[str, Any]] = []
        self._pending: list[str] = []
        self._bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self._open: Path | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for left_over in folder.glob(f".{_PATTERN}.*{TEMPORARY_SUFFIX}"):
            left_over.unlink()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.finish_shard()
        else:
            self._discard()

    def add(
        self, data: bytes, header: images.Header, provenance: Mapping[str, str | None] | None = None
    ) -> str:
        """Append one encoded image; return its image id.

        The caller has checked the bytes (`images.decode`) and that the id is not stored yet.
        """
        if self._pending and (
            self._bytes + len(data) > self.max_bytes or len(self._pending) >= self.max_images
        ):
            self.finish_shard()
        key = images.image_id(data)
        given = dict(provenance or {})
        row: dict[str, Any] = {name: given.pop(name, None) for name in schemas.PROVENANCE.names}
        if given:
            raise ValueError(f"Columns {sorted(given)} are no provenance.")
        row |= {
            "image_id": key,
            "image": {"bytes": data, "path": f"{key}.{header.format.lower()}"},
            "width": header.width,
            "height": header.height,
            "format": header.format,
        }
        self._rows.append(row)
        self._pending.append(key)
        self._bytes += len(data)
        if len(self._rows) >= ROW_GROUP:
            self._flush()
        return key

    def finish_shard(self) -> list[str]:
        """Close the open shard so that it is durable; return the ids it holds."""
        self._flush()
        finished, self._pending, self._bytes = self._pending, [], 0
        if self._writer is None or self._open is None:
            return finished
        number = max((_number(path) for path in self.folder.glob(_PATTERN)), default=-1) + 1
        target = self.folder / f"shard-{number:05d}.parquet"
        with disk_errors(self.folder):
            self._writer.close()
            with self._open.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(self._open, target)
        self._writer = self._open = None
        return finished

    def _flush(self) -> None:
        if not self._rows:
            return
        with disk_errors(self.folder):
            if self._writer is None:
                self._open = self.folder / f".shard-new.parquet.{os.getpid()}{TEMPORARY_SUFFIX}"
                self._writer = pq.ParquetWriter(
                    self._open,
                    SHARD_SCHEMA,
                    compression={"image_id": "zstd"},
                    write_statistics=False,
                )
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=SHARD_SCHEMA))
        self._rows = []

    def _discard(self) -> None:
        if self._writer is not None and self._open is not None:
            try:
                self._writer.close()
            finally:
                self._open.unlink(missing_ok=True)
        self._writer = self._open = None
        self._rows, self._pending, self._bytes = [], [], 0


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("shard-"))


def find_shards(root: Path) -> list[Path]:
    """All shards below `root`, sorted by path; empty when there are none."""
    return sorted(root.rglob(_PATTERN))


@contextmanager
def open_shard(shard: Path) -> Iterator[pq.ParquetFile]:
    """The Parquet file of a shard; raises `UserError` where it is gone or damaged."""
    try:
        with pq.ParquetFile(shard) as file:
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"The shard {shard} cannot be read: {error}.",
            "Run `dvc checkout` to get it back from the cache or the remote.",
        ) from error


def _rows(shard: Path, columns: Iterable[str]) -> Iterator[dict[str, Any]]:
    with open_shard(shard) as file:
        for group in range(file.num_row_groups):
            yield from file.read_row_group(group, columns=list(columns)).to_pylist()


def _stored(row: Mapping[str, Any]) -> Stored:
    return Stored(
        row["image_id"],
        row["image"]["bytes"],
        row["width"],
        row["height"],
        row["format"],
        {name: row[name] for name in schemas.PROVENANCE.names},
    )


def read_shard(shard: Path) -> Iterator[Stored]:
    """The images of one shard in order, a row group in memory at a time."""
    return map(_stored, _rows(shard, schemas.SHARD.names))


class ShardStore:
    """Random access by image id to the shards below some folders.

    An id that is in several shards is read from the first. The index holds no bytes. Raises
    `UserError` for a shard that cannot be read.
    """

    def __init__(self, *roots: Path) -> None:
        self.roots = roots
        self._place: dict[str, tuple[Path, int, int]] = {}
        for shard in (shard for root in roots for shard in find_shards(root)):
            with open_shard(shard) as file:
                for group in range(file.num_row_groups):
                    ids = file.read_row_group(group, columns=["image_id"]).column(0).to_pylist()
                    for row, key in enumerate(ids):
                        self._place.setdefault(key, (shard, group, row))
        self._cached: tuple[Path, int] | None = None
        self._group: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._place)

    def __contains__(self, key: str) -> bool:
        return key in self._place

    def ids(self) -> list[str]:
        """All image ids, in the order of the shards."""
        return list(self._place)

    def get(self, key: str) -> Stored:
        """One image; raises `KeyError` for an id that is not stored."""
        shard, group, row = self._place[key]
        if self._cached != (shard, group):
            with open_shard(shard) as file:
                self._group = file.read_row_group(group).to_pylist()
            self._cached = (shard, group)
        return _stored(self._group[row])

    def read(self, keys: Iterable[str]) -> Iterator[Stored]:
        """Images of `keys` in the order of the shards, each row group read once."""
        for key in sorted(set(keys), key=self._place.__getitem__):
            yield self.get(key)
