"""Stage synthesize: clean photos x nine degradations -> data/synthetic."""

import hashlib
from collections import Counter
from collections.abc import Set
from pathlib import Path

from catalog import schemas
from catalog.files import atomic_folder
from catalog.settings.pairs import Pair, Synthesize
from catalog.stage import Counts
from catalog.tables import write_table
from curation.select import Selected, select_images
from curation.synthesize.maker import Maker
from curation.units import compute, write_images


def synthesize(
    raw: Path,
    screening: Path,
    duplicates: Path,
    contamination: Path,
    scratch: Path,
    out: Path,
    settings: Synthesize,
    pair: Pair,
    blocked: Set[str] = frozenset(),
) -> Counts:
    """Write shards of clean and degraded images and pairs.parquet (schemas.PAIRS) to `out`."""
    photos, dropped = select_images(screening, duplicates, contamination, "clean", blocked)
    counts = Counts(rows_in=len(photos) + dropped.total(), dropped=dropped)
    used = photos[: settings.max_photos]
    dropped["not-needed"] += len(photos) - len(used)
    maker = Maker(raw, settings, pair, _layers(used, settings))
    results = compute(used, maker, scratch, "synthesize")
    with atomic_folder(out) as folder:
        rows = write_images(folder, results)
        rows = [row | {"scores": sorted(row["scores"].items())} for row in rows]
        rows.sort(key=lambda row: row["pair_id"])
        write_table(folder / "pairs.parquet", rows, schemas.PAIRS)
    kept = [row for row in rows if row["verdict"] == "keep"]
    dropped["too-small"] += len(used) - len({row["clean_id"] for row in rows})
    dropped += Counter(row["reason"] for row in rows if row["verdict"] == "drop")
    counts.dropped = +dropped
    counts.rows_out = len(kept)
    by_task = Counter(row["degradation"] for row in kept)
    counts.extra = {
        "photos": len(used),
        "pairs": {name: by_task[name] for name in settings.degradations},
    }
    return counts


def _layers(photos: list[Selected], settings: Synthesize) -> list[str]:
    """Ids of the photos that reflections show: a choice by hash, in the order of ids."""
    order = sorted(photos, key=lambda photo: hashlib.sha256(photo.image_id.encode()).digest())
    return sorted(photo.image_id for photo in order[: settings.layers])
