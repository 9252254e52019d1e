"""The stage: SCREENING over every image of data/raw."""

from collections import Counter
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog import schemas
from catalog.errors import ImageRefused
from catalog.images import Rgb
from catalog.layout import Layout
from catalog.settings.screen import Screen
from catalog.shards import read_shard
from catalog.stage import Counts
from catalog.tables import write_table
from curation.by_shard import map_shards
from curation.screen.screener import load_screener, refused_row


def screen_shard(settings: Screen, shard: Path) -> list[dict[str, Any]]:
    """Rows of SCREENING for the images of one shard, in order."""
    screener = load_screener(settings.model_dump_json())
    rows: list[dict[str, Any]] = []
    stream = read_shard(shard)
    while batch := list(islice(stream, settings.batch_size)):
        images: list[Rgb] = []
        kept: list[str] = []
        for stored in batch:
            try:
                images.append(stored.decode())
                kept.append(stored.image_id)
            except ImageRefused as refused:
                rows.append({"image_id": stored.image_id, **refused_row(refused.reason)})
        screened = screener.rows(images)
        rows += [{"image_id": key, **row} for key, row in zip(kept, screened, strict=True)]
    return rows


def run(layout: Layout, settings: Screen) -> Counts:
    """Write `layout.screening`, a row an image id; what is dropped stays in it with its reason."""
    screener = load_screener(settings.model_dump_json())
    results = map_shards(
        layout,
        "screen",
        partial(screen_shard, settings),
        schemas.SCREENING,
        (screener.digest, settings.model_dump_json()),
        settings.executor,
    )
    seen: set[str] = set()
    parts: list[pa.Table] = []
    repeated = 0
    for _, table in results:
        fresh = []
        for key in table["image_id"].to_pylist():
            fresh.append(key not in seen)
            seen.add(key)
        repeated += fresh.count(False)
        parts.append(table.filter(pa.array(fresh, pa.bool_())))
    whole = pa.concat_tables(parts) if parts else schemas.SCREENING.empty_table()
    schema = schemas.SCREENING.with_metadata(screener.identities)
    write_table(layout.screening, whole, schema)
    return count(whole, repeated)


def count(table: pa.Table, repeated: int = 0) -> Counts:
    """Counts of a SCREENING table: degraded and clean rows go on, the others by reason."""
    rows = table.select(["verdict", "reason", "degradation"]).to_pylist()
    dropped = Counter(row["reason"] for row in rows if row["verdict"] == "drop")
    if repeated:
        dropped["known-in-snapshot"] = repeated
    degraded = Counter(row["degradation"] for row in rows if row["verdict"] == "degraded")
    clean = sum(row["verdict"] == "clean" for row in rows)
    return Counts(
        len(rows) + repeated,
        clean + degraded.total(),
        dropped,
        {"degraded": dict(sorted(degraded.items())), "clean": clean},
    )
