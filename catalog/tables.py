"""Tables on disk: Parquet files with a declared schema, written atomically."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import UserError
from catalog.files import atomic_file, disk_errors
from catalog.schemas import ADDED

Rows = Sequence[Mapping[str, Any]]


def write_table(path: Path, rows: Rows | pa.Table, schema: pa.Schema) -> pa.Table:
    """Write `rows` with exactly the columns of `schema`, in order; return the table.

    Raises `pyarrow.ArrowInvalid` where a value does not fit and `ValueError` for a column that the
    schema does not have. Schema metadata (such as a network's identity) is kept.
    """
    if isinstance(rows, pa.Table):
        table = rows.select(schema.names).cast(schema)
    else:
        for row in rows:
            unknown = row.keys() - set(schema.names)
            if unknown:
                raise ValueError(f"Columns {sorted(unknown)} are not in the schema of {path.name}.")
        table = pa.Table.from_pylist(list(rows), schema=schema)
    with atomic_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return table


def read_table(path: Path, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table and check that it has the schema's columns and types.

    A column of `schemas.ADDED` that the file lacks is null. Raises `UserError` when the file is
    missing, unreadable or of another schema.
    """
    wanted = list(columns) if columns is not None else schema.names
    there = set(wanted) - _check(path, schema, wanted)
    try:
        table = pq.read_table(path, columns=[name for name in wanted if name in there])
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from error
    for index, name in enumerate(wanted):
        if name not in there:
            field = schema.field(name)
            table = table.add_column(index, field, pa.nulls(len(table), field.type))
    return table


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(
        f"The table {path} cannot be read: {error}.",
        "Delete it and run `dvc repro` (or `dvc checkout`) to make it again.",
    )


def _check(path: Path, schema: pa.Schema, wanted: Sequence[str]) -> set[str]:
    """The columns of `ADDED` that are wanted and not there. Raises `UserError`."""
    if not path.exists():
        raise UserError(f"The table {path} does not exist.", "Run `dvc repro` to make it.")
    try:
        found = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from error
    missing = {name for name in wanted if name in ADDED and name not in found.names}
    for name in (name for name in wanted if name not in missing):
        field = schema.field(name)
        if name not in found.names or found.field(name).type != field.type:
            raise UserError(
                f"The table {path} has no column {name} of type {field.type}; it was written by "
                "another version.",
                "Run `dvc repro` to make it again.",
            )
    return missing


def map_table(path: Path, schema: pa.Schema, folder: Path) -> pa.Table:
    """As `read_table`, with the content in a mapped file below `folder` instead of in memory.

    The system reads the parts that are looked at and may forget them again, so a table larger than
    the memory can be used. The file has no name and goes with the process. Raises `UserError` as
    `read_table` does, and for a full disk.
    """
    _check(path, schema, schema.names)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"mapped-{path.stem}.arrow"
    file.unlink(missing_ok=True)  # of a process that was killed
    with disk_errors(folder):
        try:
            with pq.ParquetFile(path) as stored, pa.ipc.new_file(file, schema) as writer:
                for batch in stored.iter_batches(4096, columns=schema.names):
                    writer.write_batch(batch.cast(schema))
            return pa.ipc.open_file(pa.memory_map(str(file))).read_all()
        finally:
            file.unlink(missing_ok=True)
