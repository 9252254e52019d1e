"""What earlier snapshots know of URLs and images."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pyarrow.parquet as pq

from catalog import schemas
from catalog.errors import UserError
from catalog.shards import find_shards, open_shard
from catalog.tables import read_table
from curation.collect.outcome import FILTERED, GOOD

OUTCOMES_FILE = "outcomes.parquet"
RECORD_FILE = "snapshot.json"

_COLUMNS = ("url_key", "outcome", "retryable", "image_id", "etag", "last_modified")


@dataclass(frozen=True)
class Past:
    """The latest outcome of a URL. `final` is False where other settings might keep it now."""

    outcome: str
    retryable: bool
    image_id: str | None
    etag: str | None
    last_modified: str | None
    final: bool

    @property
    def good(self) -> bool:
        """Whether its image is in a snapshot."""
        return self.outcome in GOOD


def snapshots(raw: Path) -> list[Path]:
    """Complete snapshots, the oldest first."""
    if not raw.is_dir():
        return []
    return sorted(path.parent for path in raw.glob(f"*/{RECORD_FILE}"))


def stored_ids(raw: Path) -> Iterator[str]:
    """Image ids in all shards below `raw`. Raises `UserError` for a shard that is damaged."""
    for shard in find_shards(raw):
        with open_shard(shard) as file:
            for batch in file.iter_batches(columns=["image_id"]):
                yield from batch.column(0).to_pylist()


class History:
    """Index of the latest outcome by URL key, in `path` (a scratch file, made anew)."""

    def __init__(self, path: Path, raw: Path, keeps: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._path = path
        self._base = sqlite3.connect(path)
        self._base.execute("pragma journal_mode = off")
        self._base.execute("pragma synchronous = off")
        self._base.execute(
            "create table past (url_key text primary key, outcome text, retryable integer, "
            "image_id text, etag text, last_modified text, final integer) without rowid"
        )
        for folder in snapshots(raw):
            self._add(folder, keeps)
        self._base.commit()

    def _add(self, folder: Path, keeps: str) -> None:
        table = folder / OUTCOMES_FILE
        read_table(table, schemas.OUTCOMES, ["retryable"])  # checks that it is one
        try:
            same = json.loads((folder / RECORD_FILE).read_text("utf-8")).get("keeps") == keeps
        except (OSError, json.JSONDecodeError) as error:
            raise UserError(
                f"{folder / RECORD_FILE} cannot be read: {error}.", "Run `dvc checkout`."
            ) from error
        with pq.ParquetFile(table) as file:
            for batch in file.iter_batches(columns=list(_COLUMNS)):
                columns = [batch.column(name).to_pylist() for name in _COLUMNS]
                self._base.executemany(
                    "insert or replace into past values (?, ?, ?, ?, ?, ?, ?)",
                    (
                        (*row, int(same or row[1] not in FILTERED))
                        for row in zip(*columns, strict=True)
                    ),
                )

    def find(self, key: str) -> Past | None:
        """The latest outcome of a URL, None when it was never tried."""
        row = self._base.execute(
            "select outcome, retryable, image_id, etag, last_modified, final from past "
            "where url_key = ?",
            (key,),
        ).fetchone()
        return (
            None
            if row is None
            else Past(row[0], bool(row[1]), row[2], row[3], row[4], bool(row[5]))
        )

    def __enter__(self) -> "History":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._base.close()
        self._path.unlink(missing_ok=True)
