"""Work on one image at a time that survives a kill: each result is a file until all are there.

A stage that makes images computes a `Made` for every unit of its input. It lies below
`layout.scratch`, named by a key over all that it depends on, so a killed run goes on where it was
and a later one computes only what is new. At the end `write_images` merges the results, in order,
so that the outputs do not depend on how often the work was interrupted.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from catalog import images
from catalog.files import atomic_file
from catalog.progress import track
from catalog.shards import ShardWriter
from catalog.threads import cores, limit_threads
from curation.worker_pool import worker_pool

U_contra = TypeVar("U_contra", contravariant=True)
U = TypeVar("U")

_SCHEMA = pa.schema([pa.field("data", pa.binary()), pa.field("provenance", pa.string())])
_SMALL = 6
"""Fewer units than this are not worth starting processes for."""


@dataclass(frozen=True)
class Made:
    """What came of one unit: encoded images with their provenance, and table rows (JSON values)."""

    images: tuple[tuple[bytes, dict[str, str | None]], ...]
    rows: tuple[dict[str, Any], ...]


class Worker(Protocol[U_contra]):
    """Makes the result of a unit. It is sent to other processes before its first call."""

    def key(self, unit: U_contra) -> str:
        """Hexadecimal hash over the unit and all settings and identities that matter."""
        ...

    def make(self, unit: U_contra) -> Made:
        """The result. Networks are loaded at the first call."""
        ...


def compute(
    units: Sequence[U],
    worker: Worker[U],
    folder: Path,
    what: str,
    processes: int | None = None,
    threads: int = 1,
    batch: int = 1,
    is_final: Callable[[Made], bool] | None = None,
) -> Iterator[Made]:
    """Results of `units` in order; those that `folder` has are not computed again.

    With `batch` above 1, the worker's `make_many` (units to their results) is given so many at a
    time. All are computed before this returns; they are read back one by one. What `is_final`
    denies of an earlier run's results, by their rows alone, is computed again. Raises `UserError`
    where a worker process dies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [path_of(folder, worker.key(unit)) for unit in units]
    if is_final:
        for path in paths:
            if path.exists() and not is_final(_saved_rows(path)):
                path.unlink(missing_ok=True)
    missing = [(unit, path) for unit, path in zip(units, paths, strict=True) if not path.exists()]
    count = min(processes or cores(), len(missing) // _SMALL)
    if threads > 1 or batch > 1:
        _threaded(missing, worker, what, threads, batch)
    elif count <= 1:
        for unit, path in track(missing, what):
            _save(path, worker.make(unit))
    else:
        with worker_pool(count, what, _start, (worker,)) as pool:
            for _ in track(pool.map(_run, missing), what, len(missing)):
                pass
    return map(saved, paths)


def _threaded(
    missing: Sequence[tuple[U, Path]], worker: Any, what: str, threads: int, batch: int
) -> None:
    """For work that waits for others; the first error stops what has not begun."""

    def run(part: Sequence[tuple[U, Path]]) -> None:
        units = [unit for unit, _ in part]
        results = worker.make_many(units) if batch > 1 else [worker.make(units[0])]
        for (_, path), made in zip(part, results, strict=True):
            _save(path, made)

    parts = [missing[first : first + batch] for first in range(0, len(missing), batch)]
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(run, part) for part in parts]
        try:
            for future in track(as_completed(futures), what, len(futures)):
                future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def write_images(folder: Path, results: Iterable[Made]) -> list[dict[str, Any]]:
    """Write the images of `results` to shards below `folder`, each id once; return all rows."""
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    with ShardWriter(folder) as writer:
        for made in results:
            rows.extend(made.rows)
            for data, provenance in made.images:
                key = images.image_id(data)
                if key not in seen:
                    seen.add(key)
                    writer.add(data, images.read_header(data), provenance)
    return rows


class _State:
    worker: Worker[Any] | None = None


def _start(worker: Worker[Any]) -> None:
    limit_threads(1)
    _State.worker = worker


def _run(task: tuple[Any, Path]) -> None:
    assert _State.worker is not None
    unit, path = task
    _save(path, _State.worker.make(unit))


def path_of(folder: Path, key: str) -> Path:
    """Where the result of a unit with this key lies."""
    return folder / key[:2] / f"{key}.parquet"


def _save(path: Path, made: Made) -> None:
    rows = [{"data": data, "provenance": json.dumps(given)} for data, given in made.images]
    schema = _SCHEMA.with_metadata({"rows": json.dumps(made.rows)})
    table = pa.Table.from_pylist(rows, schema=schema)
    with atomic_file(path) as temporary:
        pq.write_table(table, temporary, compression="none", write_statistics=False)


def _saved_rows(path: Path) -> Made:
    """A result without its images, which need not be read for it."""
    return Made((), tuple(json.loads(pq.read_schema(path).metadata[b"rows"])))


def saved(path: Path) -> Made:
    """Read a result."""
    table = pq.read_table(path)
    rows = json.loads(table.schema.metadata[b"rows"])
    found = tuple((row["data"], json.loads(row["provenance"])) for row in table.to_pylist())
    return Made(found, tuple(rows))
