"""FAISS indexes of all earlier snapshots, on disk, that grow by appending.

An index is a folder below `layout.scratch` with the index as FAISS writes it and the keys of its
rows. It is replaced as a whole, so that a killed run leaves the one before, or none. Only trained
indexes and hash tables are stored: a flat one is a copy of the vectors, made in no time.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from catalog.errors import UserError
from catalog.files import atomic_folder
from catalog.log import logger
from catalog.tables import read_table, write_table
from curation.deduplicate.search import (
    EXACT_HASHES,
    EXACT_VECTORS,
    Index,
    hash_index,
    vector_index,
)

_KEYS = pa.schema([("key", pa.string())])
_GROWTH = 4
"""Times its size at training to which an index may grow before its cells are too full."""
_GONE = 0.2
"""Share of its rows that may be of images no longer there."""

_BLOCK = 65_536


class Store:
    """The stored indexes of one collection, keyed by `digest`, which names all they depend on.

    Up to `exact_vectors` and `exact_hashes` rows nothing is stored and every row is compared.
    """

    def __init__(
        self,
        folder: Path,
        digest: str,
        exact_vectors: int = EXACT_VECTORS,
        exact_hashes: int = EXACT_HASHES,
    ) -> None:
        self.exact_vectors, self.exact_hashes = exact_vectors, exact_hashes
        self.folder = folder
        self.digest = digest
        # Those of other settings or weights, and what a killed run left unfinished.
        for old in folder.glob("*.index*"):
            if old.name.startswith(".") or not old.name.endswith(f"-{digest}.index"):
                shutil.rmtree(old)

    def vectors(self, name: str, keys: Sequence[str], base: np.ndarray) -> Index:
        """The index of the unit rows of `base` (m, width) float32, one key a row."""
        import faiss

        return self._index(
            name,
            keys,
            base,
            self.exact_vectors,
            vector_index,
            faiss.read_index,
            faiss.write_index,
        )

    def hashes(self, name: str, keys: Sequence[str], base: np.ndarray) -> Index:
        """The index of (m, 32) uint8 hashes, one key a row."""
        import faiss

        return self._index(
            name,
            keys,
            base,
            self.exact_hashes,
            hash_index,
            faiss.read_index_binary,
            faiss.write_index_binary,
        )

    def _index(
        self,
        name: str,
        keys: Sequence[str],
        base: np.ndarray,
        flat: int,
        make: Callable[[np.ndarray, int], Any],
        read: Callable[[str], Any],
        write: Callable[[Any, str], None],
    ) -> Index:
        if len(base) <= flat:
            return Index(make(base, flat))
        place = self.folder / f"{name}-{self.digest}.index"
        stored = self._read(place, read)
        if stored is not None:
            index, known, trained = stored
            where = {key: row for row, key in enumerate(keys)}
            rows = np.array([where.get(key, -1) for key in known], np.int64)
            new = np.setdiff1d(np.arange(len(keys)), rows)
            if (rows < 0).mean() <= _GONE and len(known) + len(new) <= _GROWTH * trained:
                for start in range(0, len(new), _BLOCK):
                    index.add(np.ascontiguousarray(base[new[start : start + _BLOCK]]))
                if len(new):
                    known = known + [keys[row] for row in new]
                    self._write(place, index, known, trained, write)
                return Index(index, np.concatenate([rows, new]))
        index = make(base, flat)
        self._write(place, index, list(keys), len(keys), write)
        return Index(index)

    @staticmethod
    def _read(place: Path, read: Callable[[str], Any]) -> tuple[Any, list[str], int] | None:
        """The index, its keys and its size when trained; None where it has to be made."""
        if not place.is_dir():
            return None
        try:
            table = read_table(place / "keys.parquet", _KEYS)
            trained = int((place / "trained").read_text("ascii"))
            index = read(str(place / "index.faiss"))
        except (UserError, OSError, ValueError, RuntimeError) as error:
            logger(__name__).warning("stored index is made anew", path=str(place), why=str(error))
            return None
        known = table["key"].to_pylist()
        return (index, known, trained) if index.ntotal == len(known) else None

    @staticmethod
    def _write(
        place: Path,
        index: Any,
        known: list[str],
        trained: int,
        write: Callable[[Any, str], None],
    ) -> None:
        with atomic_folder(place) as folder:
            write(index, str(folder / "index.faiss"))
            (folder / "trained").write_text(str(trained), "ascii")
            write_table(folder / "keys.parquet", pa.table({"key": known}), _KEYS)
