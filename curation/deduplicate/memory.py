"""Verified pairs of earlier runs, so that a new snapshot costs only its own pairs.

The files lie below `layout.scratch` and are keyed by all that a verdict depends on. They are a
cache: without them the stage makes the same tables, later (as far as the search is exhaustive).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from catalog.errors import UserError
from catalog.tables import read_table, write_table
from curation.deduplicate.verify import Match

_PAIRS = pa.schema(
    [
        ("a", pa.string()),
        ("b", pa.string()),
        ("same", pa.bool_()),
        ("matrix", pa.list_(pa.float64())),  # nine, row by row; empty where not the same
        ("overlap", pa.float64()),
        ("contained", pa.float64()),
        ("agreement", pa.float64()),
        ("similarity", pa.float64()),
        ("reason", pa.string()),
    ]
)
_IDS = pa.schema([("image_id", pa.string())])


class Memory:
    """Which images have been compared with one another, and the verdict on each candidate pair."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.pairs_path = folder / f"pairs-{digest}.parquet"
        self.ids_path = folder / f"ids-{digest}.parquet"
        self.ids: set[str] = set()
        self.verdicts: dict[tuple[str, str], Match | None] = {}
        try:
            self.ids = set(read_table(self.ids_path, _IDS)["image_id"].to_pylist())
            for row in read_table(self.pairs_path, _PAIRS).to_pylist():
                self.verdicts[row["a"], row["b"]] = self._match(row)
        except UserError:  # nothing there, or not readable: everything is compared
            self.ids, self.verdicts = set(), {}
        for old in set(folder.glob("*.parquet")) - {self.pairs_path, self.ids_path}:
            old.unlink()

    @staticmethod
    def _match(row: dict[str, Any]) -> Match | None:
        if not row["same"]:
            return None
        names = ("overlap", "contained", "agreement", "similarity", "reason")
        matrix = np.array(row["matrix"]).reshape(3, 3)
        return Match(a=-1, b=-1, matrix=matrix, **{name: row[name] for name in names})

    def remember(self, ids: Iterable[str], verdicts: dict[tuple[str, str], Match | None]) -> None:
        """Store the verdicts among `ids`; what was known of other images is dropped."""
        known = set(ids)
        kept = {
            key: match for key, match in verdicts.items() if key[0] in known and key[1] in known
        }
        rows = []
        for (a, b), match in sorted(kept.items(), key=lambda item: item[0]):
            row = {"a": a, "b": b, "same": match is not None}
            if match is not None:
                row |= {
                    "matrix": match.matrix.ravel().tolist(),
                    "overlap": match.overlap,
                    "contained": match.contained,
                    "agreement": match.agreement,
                    "similarity": match.similarity,
                    "reason": match.reason,
                }
            rows.append(row)
        write_table(self.pairs_path, rows, _PAIRS)
        write_table(self.ids_path, [{"image_id": key} for key in sorted(known)], _IDS)
