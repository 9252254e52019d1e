"""Stage `embed`: a unit vector of every image.

`python -m curation.embed` reads data/raw and writes data/embeddings.parquet.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

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

T = TypeVar("T")

VERSION = "1"
"""Part of the cache's key; to be raised by whoever changes what a row holds."""


@lru_cache(maxsize=1)
def _loaded(name: str) -> Embedder:
    """One embedder a process, whatever the number of shards."""
    return load_embedder(name)


def _decoded(shard: Path, size: int) -> Iterator[list[tuple[str, Rgb | ImageRefused]]]:
    """Image ids with their pixels, or with why there are none, in batches."""

    def pixels(stored: Stored) -> Rgb | ImageRefused:
        try:
            return stored.decode()
        except ImageRefused as refused:
            return refused

    images = read_shard(shard)
    while batch := [(stored.image_id, pixels(stored)) for stored in islice(images, size)]:
        yield batch


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, the next one made by a thread while one is in use."""
    with ThreadPoolExecutor(1, "decode") as pool:
        nothing = object()
        waiting = pool.submit(next, items, nothing)
        while (item := waiting.result()) is not nothing:
            waiting = pool.submit(next, items, nothing)
            yield item  # type: ignore[misc]


def embed_shard(name: str, batch_size: int, shard: Path) -> list[dict[str, Any]]:
    """One row an image; an image that cannot be decoded has `refused` set and no vector."""
    embedder = _loaded(name)
    # pyarrow reads no null back from a column of lists of fixed size.
    nothing = np.zeros(embedder.width, np.float32)
    rows: list[dict[str, Any]] = []
    for batch in _ahead(_decoded(shard, batch_size)):
        good = [(key, found) for key, found in batch if not isinstance(found, ImageRefused)]
        for key, found in batch:
            if isinstance(found, ImageRefused):
                rows.append({"image_id": key, "embedding": nothing, "refused": found.reason})
        vectors = embedder.embed_images([found for _, found in good])
        for (key, _), vector in zip(good, vectors, strict=True):
            rows.append({"image_id": key, "embedding": vector})
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
        processes=1,  # the network itself uses every core, or the GPU
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
