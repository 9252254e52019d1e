"""Stage `hash`: perceptual hashes, and the thumbnails that verify what they find.

`python -m curation.hash` reads data/raw and writes data/hashes.parquet and
data/fingerprints.parquet.
"""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog import schemas
from catalog.errors import ImageRefused
from catalog.layout import Layout
from catalog.settings.curation import Hash
from catalog.shards import read_shard
from catalog.stage import Counts, run_stage
from catalog.tables import write_table
from curation.by_shard import fresh_rows, map_shards, snapshot_of
from curation.fingerprint import jpeg_quality, make_fingerprint

VERSION = "6"
"""Part of the cache's key; to be raised by whoever changes what a row holds."""

_BOTH = pa.schema(
    [
        *(field for field in schemas.HASHES if field.name != "snapshot"),
        *(field for field in schemas.FINGERPRINTS if field.name != "image_id"),
        pa.field("refused", pa.string()),
    ]
)


def hash_image(data: bytes, thumbnail_side: int) -> dict[str, Any]:
    """The columns of HASHES and FINGERPRINTS that come from the bytes. Raises `ImageRefused`."""
    made = make_fingerprint(data, thumbnail_side)
    return {
        "byte_size": len(data),
        "jpeg_quality": jpeg_quality(data),
        "phash": made.phash,
        "pdq": made.pdq,
        "pdq_quality": made.pdq_quality,
        "trim": list(made.trim),
        "whole": made.whole.tobytes(),
        "inner": made.inner.tobytes(),
        "thumbnail": made.thumbnail,
        "grain": made.grain,
        "blockiness": made.blockiness,
        "texture": made.texture.tobytes(),
        "colour": made.colour,
    }


def hash_shard(thumbnail_side: int, shard: Path) -> list[dict[str, Any]]:
    """One row of `_BOTH` an image; an image that cannot be decoded has `refused` set."""
    rows = []
    for stored in read_shard(shard):
        row: dict[str, Any] = {
            "image_id": stored.image_id,
            "width": stored.width,
            "height": stored.height,
            "format": stored.format,
            "license": stored.provenance["license"],
        }
        try:
            row |= hash_image(stored.data, thumbnail_side)
        except ImageRefused as refused:
            # pyarrow reads no null back from a column of lists of fixed size.
            row |= {"refused": refused.reason, "trim": [0.0, 0.0, 1.0, 1.0]}
        rows.append(row)
    return rows


def run(layout: Layout, settings: Hash) -> Counts:
    """Write HASHES and FINGERPRINTS, a row an image id, in the order of the shards.

    An id that is in several snapshots is kept once, with the first. Images that cannot be decoded
    are left out and counted.
    """
    results = map_shards(
        layout,
        "hash",
        partial(hash_shard, settings.thumbnail_side),
        _BOTH,
        (VERSION, str(settings.thumbnail_side)),
        settings.executor,
    )
    parts: list[pa.Table] = []
    seen: set[str] = set()
    dropped: Counter[str] = Counter()
    rows_in = 0
    for shard, table in results:
        rows_in += len(table)
        fresh = fresh_rows(table, seen, dropped)
        snapshot = pa.array([snapshot_of(shard, layout.raw)] * len(fresh), pa.string())
        parts.append(fresh.append_column("snapshot", snapshot))
    both = pa.concat_tables(parts) if parts else None
    hashes = both if both is not None else schemas.HASHES.empty_table()
    write_table(layout.hashes, hashes, schemas.HASHES)
    fingerprints = both if both is not None else schemas.FINGERPRINTS.empty_table()
    write_table(layout.fingerprints, fingerprints, schemas.FINGERPRINTS)
    return Counts(rows_in, len(hashes), dropped)


def main() -> None:
    """Run the stage in the current work tree."""
    run_stage("hash", lambda layout, params: run(layout, params.hash))


if __name__ == "__main__":
    main()
