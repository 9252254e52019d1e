"""One function over every image of every shard: a cached result a shard, here or on Ray.

The result of a shard is kept below `layout.scratch`, keyed by the shard's content, the code's
version and the settings, so that a later snapshot computes only its own shards and a killed run
goes on at the shard it was in.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog import images
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.progress import track
from catalog.shards import find_shards
from catalog.tables import read_table, write_table
from catalog.threads import cores, limit_threads
from curation.on_ray import run_on_ray
from curation.worker_pool import worker_pool

ShardFunction = Callable[[Path], list[dict[str, Any]]]
"""Path of a shard to the rows of its images, in order. It is sent to other processes."""


@dataclass(frozen=True)
class Unfinished:
    """What to do with the result of an earlier run that is not final in all rows."""

    is_final: Callable[[pa.Table], bool]
    complete: Callable[[Path, Path], list[dict[str, Any]]]
    """Path of a shard and of that result to all rows anew. It is sent to other processes."""


def content_key(path: Path, *identity: str) -> str:
    """SHA-256 over the file's bytes and the words of `identity`."""
    digest = hashlib.sha256("\n".join(identity).encode())
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def snapshot_of(shard: Path, raw: Path) -> str:
    """Name of the snapshot a shard belongs to: the first folder below data/raw."""
    return shard.relative_to(raw).parts[0]


def _compute(function: ShardFunction, schema: pa.Schema, shard: Path, result: Path) -> Path:
    """Run `function` on one shard unless its result is there."""
    if not result.exists():
        write_table(result, function(shard), schema)
    return result


def _complete(
    complete: Callable[[Path, Path], list[dict[str, Any]]],
    schema: pa.Schema,
    shard: Path,
    result: Path,
) -> Path:
    """Write anew the result of an earlier run; killed, it leaves the earlier one."""
    write_table(result, complete(shard, result), schema)
    return result


def _local(tasks: Sequence[partial[Path]], what: str, processes: int | None) -> Iterator[Path]:
    workers = min(processes or cores(), len(tasks))
    if workers <= 1:
        yield from (task() for task in tasks)
        return
    threads = max(1, cores() // workers)
    with worker_pool(workers, what, limit_threads, (threads,)) as pool:
        for future in as_completed([pool.submit(task) for task in tasks]):
            yield future.result()


def map_shards(
    layout: Layout,
    stage: str,
    function: ShardFunction,
    schema: pa.Schema,
    identity: Sequence[str],
    executor: str = "local",
    processes: int | None = None,
    unfinished: Unfinished | None = None,
) -> list[tuple[Path, pa.Table]]:
    """Every shard below data/raw with the table that `function` makes of it, in order of path.

    `identity` names all that the result depends on besides the shard and how images are decoded:
    version of the code, settings, weights. `processes` bounds the local ones, by default the cores.
    With the executor "ray" a shard is a task; the scratch folder must then be on a disk that every
    node sees. Results of shards that are gone are removed; those of an earlier run that are not
    final are completed as `unfinished` says.
    """
    if not layout.raw.is_dir():
        raise UserError(
            f"There is no {layout.raw}, where collected images lie.",
            "`mendline collect` fetches some; `dvc checkout` brings back what `dvc add` kept.",
        )
    shards = find_shards(layout.raw)
    folder = layout.scratch(stage)
    depends = (f"decoder/{images.VERSION}", *identity)
    places = {shard: folder / f"{content_key(shard, *depends)}.parquet" for shard in shards}
    tasks = {
        place: partial(_compute, function, schema, shard, place)
        for shard, place in places.items()
        if not place.exists()
    }
    if unfinished:
        for shard, place in places.items():
            if place not in tasks and not unfinished.is_final(read_table(place, schema)):
                tasks[place] = partial(_complete, unfinished.complete, schema, shard, place)
    if tasks:
        todo = list(tasks.values())
        done = run_on_ray(todo) if executor == "ray" else _local(todo, stage, processes)
        for _ in track(done, f"{stage} (shards)", total=len(tasks)):
            pass
    for stale in set(folder.glob("*.parquet")) - set(places.values()):
        stale.unlink()
    return [(shard, read_table(place, schema)) for shard, place in places.items()]


def fresh_rows(table: pa.Table, seen: set[str], dropped: Counter[str]) -> pa.Table:
    """The rows that were not refused and whose image no earlier row had.

    `table` has `image_id` and `refused` (why the image cannot be used, null when it can). Its ids
    are added to `seen`, the rows left out are counted in `dropped` by reason.
    """
    keep = []
    reasons = table["refused"].to_pylist()
    for key, reason in zip(table["image_id"].to_pylist(), reasons, strict=True):
        fresh = key not in seen and reason is None
        if not fresh:
            dropped[reason or "known-in-snapshot"] += 1
        seen.add(key)
        keep.append(fresh)
    return table.filter(pa.array(keep, pa.bool_()))
