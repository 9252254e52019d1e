"""Stage `embed`: a unit vector of every image.

`python -m curation.embed` reads data/raw and writes data/embeddings.parquet.
"""

from collections import Counter, deque
from concurrent.futures import Future
from contextlib import ExitStack
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from catalog.errors import ImageRefused
from catalog.layout import Layout
from catalog.schemas import embeddings
from catalog.settings.curation import Embed
from catalog.shards import Stored, read_shard
from catalog.stage import Counts, run_stage
from catalog.tables import write_table
from curation.by_shard import fresh_rows, map_shards
from curation.preparing import Workers, all_cores
from networks.embedders import load_embedder
from networks.interfaces import Embedder

Row = dict[str, Any]

VERSION = "2"
"""Part of the cache's key; to be raised by whoever changes what a row holds."""


@lru_cache(maxsize=1)
def _loaded(name: str) -> Embedder:
    """One embedder a process, whatever the number of shards."""
    return load_embedder(name)


def _rows(embedder: Embedder, batch: list[Stored], prepared: list[Future[Any]]) -> list[Row]:
    # pyarrow reads no null back from a column of lists of fixed size.
    nothing = np.zeros(embedder.width, np.float32)
    rows: list[Row] = []
    good: list[Any] = []
    for stored, image in zip(batch, prepared, strict=True):
        row: Row = {"image_id": stored.image_id}
        try:
            good.append(image.result())
        except ImageRefused as refused:
            row |= {"embedding": nothing, "refused": refused.reason}
        rows.append(row)
    vectors = iter(embedder.embed_prepared(good))
    return [row if "refused" in row else row | {"embedding": next(vectors)} for row in rows]


def embed_shard(
    name: str, batch_size: int, shard: Path, workers: Workers | None = None
) -> list[Row]:
    """One row an image; an image that cannot be decoded has `refused` set and no vector.

    Workers take image after image from file to what the network reads, and after the last image of
    a batch one of them takes the batch to vectors. The network lets go of the interpreter's lock,
    and one network serves all. `workers` are by default taken for this shard alone.
    """
    embedder = _loaded(name)
    if workers is None:
        with all_cores(embedder) as workers:
            return embed_shard(name, batch_size, shard, workers)
    rows: list[Row] = []
    waiting: deque[Future[list[Row]]] = deque()
    images = iter(read_shard(shard))
    while batch := list(islice(images, batch_size)):
        # Workers take tasks in turn, so a batch waits only for images that are under way.
        prepared = [workers.prepare(stored) for stored in batch]
        waiting.append(workers.threads.submit(_rows, embedder, batch, prepared))
        if len(waiting) > workers.count:
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
    with ExitStack() as stack:
        function = partial(embed_shard, settings.embedder, settings.batch_size)
        if settings.executor == "local":
            function = partial(function, workers=stack.enter_context(all_cores(embedder)))
        results = map_shards(
            layout,
            "embed",
            function,
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
