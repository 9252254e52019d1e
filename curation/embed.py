"""Stage `embed`: a unit vector of every image.

`python -m curation.embed` reads data/raw and writes data/embeddings.parquet.
"""

import os
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from catalog.batches import batches
from catalog.errors import ImageRefused
from catalog.images import Rgb
from catalog.layout import Layout
from catalog.schemas import embeddings
from catalog.settings.curation import Embed
from catalog.shards import Stored, read_shard
from catalog.stage import Counts, run_stage
from catalog.tables import write_table
from curation.by_shard import fresh_rows, map_shards
from networks.embedders import load_embedder
from networks.interfaces import Embedder

VERSION = "2"
"""Part of the cache's key; to be raised by whoever changes what a row holds."""


@lru_cache(maxsize=1)
def _loaded(name: str) -> Embedder:
    """One embedder a process, whatever the number of shards."""
    return load_embedder(name)


def _rows(embedder: Embedder, batch: list[Stored]) -> list[dict[str, Any]]:
    # pyarrow reads no null back from a column of lists of fixed size.
    nothing = np.zeros(embedder.width, np.float32)
    rows: list[dict[str, Any]] = []
    good: list[Rgb] = []
    for stored in batch:
        row: dict[str, Any] = {"image_id": stored.image_id}
        try:
            good.append(stored.decode())
        except ImageRefused as refused:
            row |= {"embedding": nothing, "refused": refused.reason}
        rows.append(row)
    vectors = iter(embedder.embed_images(good))
    return [row if "refused" in row else row | {"embedding": next(vectors)} for row in rows]


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """PyTorch takes one thread for every thread that asks it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def embed_shard(name: str, batch_size: int, shard: Path) -> list[dict[str, Any]]:
    """One row an image; an image that cannot be decoded has `refused` set and no vector.

    A thread a core takes batch after batch from file to vectors: decoding, scaling and the network
    let go of the interpreter's lock, and one network serves all.
    """
    embedder = _loaded(name)
    rows: list[dict[str, Any]] = []
    threads = os.cpu_count() or 1
    with _one_thread_each(), ThreadPoolExecutor(threads, "embed") as pool:
        waiting: deque[Future[list[dict[str, Any]]]] = deque()
        for batch in batches(read_shard(shard), batch_size):
            waiting.append(pool.submit(_rows, embedder, batch))
            if len(waiting) > 2 * threads:
                rows += waiting.popleft().result()
        for future in waiting:
            rows += future.result()
    return rows


def run(layout: Layout, settings: Embed) -> Counts:
    """Write the embeddings, a row an image id; the embedder's identity is the schema's metadata.

    Images that cannot be decoded are left out and counted.
    """
    embedder = _loaded(settings.embedder)
    schema = embeddings(embedder.width, str(embedder.identity))
    working = schema.append(pa.field("refused", pa.string()))
    results = map_shards(
        layout,
        "embed",
        partial(embed_shard, settings.embedder, settings.batch_size),
        working,
        (VERSION, embedder.identity.digest),
        settings.executor,
        processes=1,  # every core is used within a shard, or the GPU
    )
    parts = []
    seen: set[str] = set()
    dropped: Counter[str] = Counter()
    rows_in = 0
    for _, table in results:
        rows_in += len(table)
        parts.append(fresh_rows(table, seen, dropped))
    table = pa.concat_tables(parts) if parts else working.empty_table()
    write_table(layout.embeddings, table, schema)
    extra = {"embedder": str(embedder.identity), "trained": embedder.identity.trained}
    return Counts(rows_in, len(table), dropped, extra)


def main() -> None:
    """Run the stage in the current work tree."""
    run_stage("embed", lambda layout, params: run(layout, params.embed))


if __name__ == "__main__":
    main()
