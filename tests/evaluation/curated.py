"""Tables of the curation stages in which every stage dropped something."""

from typing import Any

import pyarrow as pa

from catalog import images, schemas
from catalog.layout import Layout
from catalog.shards import ShardWriter
from catalog.tables import write_table
from tests.evaluation.parts import photo


def write_curation(layout: Layout) -> None:
    """Eight stored images; a copy, a match of the benchmark, a watermark, a pair that moved."""
    keys = []
    with ShardWriter(layout.raw / "one") as writer:
        for seed in range(8):
            data = images.encode_png(photo(100 + seed, 48))
            keys.append(writer.add(data, images.read_header(data)))

    def rows(schema: pa.Schema, *given: dict[str, Any]) -> list[dict[str, Any]]:
        return [dict.fromkeys(schema.names) | row for row in given]

    tables: tuple[tuple[Any, pa.Schema, list[dict[str, Any]]], ...] = (
        (
            layout.raw / "one/outcomes.parquet",
            schemas.OUTCOMES,
            [{"outcome": "stored"}] * 8 + [{"outcome": "robots"}] * 3,
        ),
        (
            layout.duplicates,
            schemas.DUPLICATES,
            [
                {
                    "image_id": keys[0],
                    "group": keys[1],
                    "keeper": False,
                    "relation": "copy",
                    "reason": "perceptual",
                    "similarity": 0.98,
                }
            ],
        ),
        (
            layout.contamination,
            schemas.CONTAMINATION,
            [{"image_id": keys[2], "reason": "embedding"}],
        ),
        (
            layout.screening,
            schemas.SCREENING,
            [
                {"image_id": keys[3], "verdict": "drop", "reason": "watermark"},
                {"image_id": keys[4], "verdict": "clean", "reason": "no degradation"},
            ],
        ),
        (
            layout.real_pairs,
            schemas.PAIRS,
            [
                {
                    "degraded_id": keys[5],
                    "clean_id": keys[6],
                    "verdict": "drop",
                    "reason": "content moved",
                }
            ],
        ),
    )
    for path, schema, given in tables:
        write_table(path, rows(schema, *given), schema)
