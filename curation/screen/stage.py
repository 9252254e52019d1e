"""The stage: SCREENING over every image of data/raw."""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog import schemas
from catalog.batches import batches
from catalog.errors import ImageRefused
from catalog.images import Rgb
from catalog.layout import Layout
from catalog.settings.screen import Screen
from catalog.shards import Stored, read_shard
from catalog.stage import Counts
from catalog.tables import read_table, write_table
from curation.by_shard import Unfinished, map_shards
from curation.screen.rules import is_final
from curation.screen.screener import Screener, load_screener, refused_row


def screen_shard(settings: Screen, shard: Path) -> list[dict[str, Any]]:
    """Rows of SCREENING for the images of one shard, in order."""
    return _screened(settings, read_shard(shard))


def complete_shard(settings: Screen, shard: Path, earlier: Path) -> list[dict[str, Any]]:
    """The same where the table `earlier` has these rows, but for what the judge did not answer.

    A judge was away, or has no answer for an image and never will: either way the other rows stand.
    """
    rows = read_table(earlier, schemas.SCREENING).to_pylist()
    asked = [is_final(row, settings) for row in rows]
    again = (one for one, final in zip(read_shard(shard), asked, strict=True) if not final)
    fresh = iter(_screened(settings, again))
    return [row if final else next(fresh) for row, final in zip(rows, asked, strict=True)]


def _screened(settings: Screen, images: Iterable[Stored]) -> list[dict[str, Any]]:
    screener = load_screener(settings.model_dump_json())
    rows: list[dict[str, Any]] = []
    for batch in batches(images, settings.batch_size):
        rows += _rows(screener, batch)
    return rows


def _rows(screener: Screener, batch: list[Stored]) -> list[dict[str, Any]]:
    images: dict[int, Rgb] = {}
    found: dict[int, dict[str, Any]] = {}
    for index, stored in enumerate(batch):
        try:
            images[index] = stored.decode()
        except ImageRefused as refused:
            found[index] = refused_row(refused.reason)
    found |= zip(images, screener.rows(list(images.values())), strict=True)
    return [{"image_id": one.image_id, **found[index]} for index, one in enumerate(batch)]


def _all_final(settings: Screen, table: pa.Table) -> bool:
    """Whether the judge answered: a server that was away is asked again by the next run."""
    rows = table.select(["reason", "scores"]).to_pylist()
    return all(is_final(row, settings) for row in rows)


def run(layout: Layout, settings: Screen) -> Counts:
    """Write `layout.screening`, a row an image id; what is dropped stays in it with its reason.

    Raises `UserError` where the judge does not answer.
    """
    screener = load_screener(settings.model_dump_json())
    results = map_shards(
        layout,
        "screen",
        partial(screen_shard, settings),
        schemas.SCREENING,
        (screener.digest, settings.model_dump_json()),
        settings.executor,
        screener.processes,
        Unfinished(partial(_all_final, settings), partial(complete_shard, settings)),
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
