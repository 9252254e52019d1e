"""Stage `embed`: a unit vector of every image.

`python -m curation.embed` reads data/raw and writes data/embeddings.parquet.
"""

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from catalog.batches import MOST_PIXELS, batches
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
from networks.interfaces import Embedder, PreparingEmbedder

Row = dict[str, Any]

VERSION = "2"
"""Part of the cache's key; to be raised by whoever changes what a row holds."""


@lru_cache(maxsize=1)
def _loaded(name: str) -> Embedder:
    """One embedder a process, whatever the number of shards."""
    return load_embedder(name)


def _steps(embedder: Embedder) -> tuple[Callable[[Rgb], Any], Callable[[list[Any]], np.ndarray]]:
    """What can be done image by image, and what is done for a batch."""
    if isinstance(embedder, PreparingEmbedder):
        return embedder.prepare, embedder.embed_prepared
    return lambda image: image, embedder.embed_images


def _rows(embedder: Embedder, batch: list[Stored], images: list[Future[Any]]) -> list[Row]:
    # pyarrow reads no null back from a column of lists of fixed size.
    nothing = np.zeros(embedder.width, np.float32)
    rows: list[Row] = []
    good: list[Any] = []
    for stored, image in zip(batch, images, strict=True):
        row: Row = {"image_id": stored.image_id}
        try:
            good.append(image.result())
        except ImageRefused as refused:
            row |= {"embedding": nothing, "refused": refused.reason}
        rows.append(row)
    vectors = iter(_steps(embedder)[1](good))
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


def embed_shard(name: str, batch_size: int, shard: Path) -> list[Row]:
    """One row an image; an image that cannot be decoded has `refused` set and no vector.

    A thread a core: each takes image after image from file to what the network reads, and after
    the last image of a batch one of them takes the batch to vectors. Decoding, scaling and the
    network let go of the interpreter's lock, and one network serves all.
    """
    embedder = _loaded(name)
    prepare, _ = _steps(embedder)
    rows: list[Row] = []
    threads = os.cpu_count() or 1
    with _one_thread_each(), ThreadPoolExecutor(threads, "embed") as pool:

        def ready(stored: Stored) -> Any:
            return prepare(stored.decode())

        waiting: deque[Future[list[Row]]] = deque()
        # Of what is prepared image by image, a thread holds one decoded photo, however large.
        pixels = inf if isinstance(embedder, PreparingEmbedder) else MOST_PIXELS
        for batch in batches(read_shard(shard), batch_size, pixels):
            # Threads take tasks in turn, so a batch waits only for images that are under way.
            images = [pool.submit(ready, stored) for stored in batch]
            waiting.append(pool.submit(_rows, embedder, batch, images))
            if len(waiting) > threads:
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
