"""Tables on disk: Parquet files with a declared schema, written atomically."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import UserError
from catalog.files import atomic_file

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

    Raises `UserError` when the file is missing, unreadable or of another schema.
    """
    if not path.exists():
        raise UserError(f"The table {path} does not exist.", "Run `dvc repro` to make it.")
    try:
        found = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"The table {path} cannot be read: {error}.",
            "Delete it and run `dvc repro` (or `dvc checkout`) to make it again.",
        ) from error
    wanted = list(columns) if columns is not None else schema.names
    for name in wanted:
        field = schema.field(name)
        if name not in found.names or found.field(name).type != field.type:
            raise UserError(
                f"The table {path} has no column {name} of type {field.type}; it was written by "
                "another version.",
                "Run `dvc repro` to make it again.",
            )
    return pq.read_table(path, columns=wanted)
