"""URLs from a file: txt, csv, jsonl or Parquet."""

import csv
import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from catalog.digests import read_digest
from catalog.errors import UserError
from catalog.settings.collect import Columns
from curation.collect.sources import Item

_SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


class UrlList:
    """A list of URLs. txt has one a line ("#" starts a comment); the others have named columns."""

    name = "url-list"

    def __init__(self, path: Path, columns: Columns) -> None:
        if not path.is_file():
            raise UserError(f"There is no file {path}.", "Give a list of URLs that exists.")
        self.kind = path.suffix.lower()
        if self.kind not in _SUFFIXES:
            raise UserError(
                f"{path} is no list of URLs that can be read.",
                f"Give a file that ends in {', '.join(_SUFFIXES)}.",
            )
        self.path = path
        self.columns = columns

    def describe(self) -> dict[str, Any]:
        """Name of the file and SHA-256 of its content."""
        return {
            "source": self.name,
            "file": self.path.name,
            "sha256": read_digest(self.path),
        }

    def items(self) -> Iterator[Item]:
        """One item a row that has a URL. Raises `UserError` naming the line that is wrong."""
        if self.kind == ".txt":
            for line in self._lines():
                stripped = line.strip()
                if stripped and not stripped.startswith("#"):
                    yield Item(stripped, self.name)
            return
        names = self.columns
        for row in self._rows():
            url = _text(row.get(names.url))
            if url:
                yield Item(
                    url,
                    self.name,
                    query=_text(row.get(names.query)),
                    source_page=_text(row.get(names.source_page)),
                    license=_text(row.get(names.license)),
                    creator=_text(row.get(names.creator)),
                )

    def _lines(self) -> Iterator[str]:
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                yield from file
        except UnicodeDecodeError as error:
            raise UserError(f"{self.path} is not UTF-8 text: {error}.", "Save it as UTF-8.") from (
                error
            )

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        if self.kind == ".parquet":
            yield from self._parquet_rows()
        elif self.kind in (".csv", ".tsv"):
            yield from self._csv_rows("\t" if self.kind == ".tsv" else ",")
        else:
            for number, line in enumerate(self._lines(), 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:  # long numbers, deep nesting, too
                    raise UserError(
                        f"Line {number} of {self.path} is not JSON that can be read: {error}.",
                        "Mend the line.",
                    ) from error
                if not isinstance(row, dict) or self.columns.url not in row:
                    raise UserError(
                        f"Line {number} of {self.path} has no key {self.columns.url!r}.",
                        "Mend the line, or name the key in collect.columns.url of params.yaml.",
                    )
                yield row

    def _csv_rows(self, delimiter: str) -> Iterator[Mapping[str, Any]]:
        rows = csv.DictReader(self._lines(), delimiter=delimiter, strict=True)
        done = 0
        try:
            self._check_columns(rows.fieldnames or ())
            done = rows.line_num
            for row in rows:
                done = rows.line_num
                yield row
        except csv.Error as error:
            raise UserError(
                f"The row of {self.path} that begins at line {done + 1} cannot be read: {error}.",
                "Mend the line. A quotation mark that is not closed takes in all lines after it.",
            ) from error

    def _parquet_rows(self) -> Iterator[Mapping[str, Any]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path) as file:
                names = file.schema_arrow.names
                self._check_columns(names)
                wanted = [name for name in self.columns.model_dump().values() if name in names]
                for batch in file.iter_batches(columns=wanted):
                    yield from batch.to_pylist()
        except (pa.ArrowException, OSError, ValueError) as error:  # damaged pages, text not UTF-8
            raise UserError(
                f"{self.path} cannot be read as a Parquet file: {error}.",
                "Give one that is whole.",
            ) from error

    def _check_columns(self, names: Any) -> None:
        if self.columns.url not in names:
            near = difflib.get_close_matches(self.columns.url, names, n=1, cutoff=0.4)
            hint = f" Perhaps it is {near[0]!r}." if near else ""
            raise UserError(
                f"{self.path} has no column {self.columns.url!r}; it has {', '.join(names)}.{hint}",
                "Name the column in collect.columns.url of params.yaml.",
            )


def _text(value: Any) -> str | None:
    text = str(value).strip() if value is not None else ""
    return text or None
