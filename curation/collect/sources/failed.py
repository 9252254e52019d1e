"""URLs that failed in earlier snapshots in a way that may pass."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from catalog.errors import UserError
from curation.collect.history import OUTCOMES_FILE, snapshots
from curation.collect.sources import Item
from curation.collect.sources.folder import read_file

_COLUMNS = [
    "url_key", "url", "source", "query", "source_page", "license", "creator", "retryable",
]  # fmt: skip


class FailedEarlier:
    """Everything that ever failed retryably; whether it still does is the history's to say."""

    name = "failed-earlier"

    def __init__(self, raw: Path) -> None:
        self._tables = [folder / OUTCOMES_FILE for folder in snapshots(raw)]
        if not self._tables:
            raise UserError(
                f"There is no snapshot below {raw} whose failures could be tried again.",
                "Collect first: `mendline collect --urls FILE`. A collection that made no snapshot "
                "is tried anew by its own command.",
            )

    def describe(self) -> dict[str, Any]:
        """A hash over the names of the snapshots."""
        names = "\n".join(table.parent.name for table in self._tables)
        return {"source": self.name, "sha256": hashlib.sha256(names.encode()).hexdigest()}

    def items(self) -> Iterator[Item]:
        """Failed URLs with the provenance that they had; files are read again.

        Records of archives have no locator, since outcomes do not say which file held them.
        """
        for table in self._tables:
            with pq.ParquetFile(table) as file:
                for batch in file.iter_batches(columns=_COLUMNS):
                    for row in batch.to_pylist():
                        if not row.pop("retryable"):
                            continue
                        key = row.pop("url_key")
                        local = row["url"] is None
                        yield Item(**row, key=key, locator=key if local else None)

    def read(self, locator: str, max_bytes: int) -> bytes:
        """A file's bytes. Raises `FetchError`."""
        return read_file(Path(locator), max_bytes)
