"""Stage assemble: verdicts, reviews and caps -> the dataset, the only stage that leaves out."""

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from catalog import schemas
from catalog.degradations import Degradation
from catalog.files import atomic_folder
from catalog.groups import groups_of
from catalog.settings.pairs import Assemble
from catalog.stage import Counts
from catalog.tables import read_table, write_table
from curation.assemble.caps import apply_caps
from curation.assemble.card import write_card
from curation.assemble.croissant import write_croissant
from curation.assemble.held_out import hold_out
from curation.assemble.provenance import Origins
from curation.assemble.sound import sound_pairs
from curation.assemble.splits import scenes, split_groups
from curation.select import contaminated_ids, select_images

_OWN = tuple(name for name in schemas.DATASET.names if name != "split")
_COLUMNS = (*_OWN, "teacher", "verdict", "reason")
"""Of schemas.PAIRS; the scores, which are not among them, take three quarters of a row's memory."""


@dataclass(frozen=True)
class Inputs:
    """Tables and folders that the dataset is made of."""

    raw: Path
    screening: Path
    duplicates: Path
    contamination: Path
    real_pairs: Path
    synthetic: Path
    reviews: Path
    """Need not exist."""


def assemble(
    inputs: Inputs, out: Path, settings: Assemble, thresholds: str, blocked: Set[str] = frozenset()
) -> Counts:
    """Write pairs.parquet, held-out.parquet, README.md and croissant.json to `out`.

    A split is also a table of its own below splits/, for `datasets.load_dataset`: of one file it
    would make one split, named train, with the validation pairs in it.

    `thresholds` is the YAML text of the settings that decided, for the card. Tasks without pairs
    are reported, not refused.
    """
    pairs = read_table(inputs.real_pairs, schemas.PAIRS, _COLUMNS).to_pylist()
    pairs += read_table(inputs.synthetic / "pairs.parquet", schemas.PAIRS, _COLUMNS).to_pylist()
    reviews: dict[str, str] = {}
    if inputs.reviews.exists():
        table = read_table(inputs.reviews, schemas.REVIEWS, ["pair_id", "decision"])
        reviews = dict(zip(*table.to_pydict().values(), strict=True))
    contaminated = contaminated_ids(inputs.contamination, inputs.duplicates)
    sound, dropped = sound_pairs(pairs, reviews, contaminated, blocked, settings)

    degraded, _ = select_images(
        inputs.screening, inputs.duplicates, inputs.contamination, "degraded", blocked
    )
    held = hold_out(degraded, sound, settings)
    groups = groups_of(inputs.duplicates)
    held_groups = {row["group"] for row in held}
    free = [pair for pair in sound if not scenes(pair, groups) & held_groups]
    dropped["held-out"] += len(sound) - len(free)

    origins = Origins.read(inputs.raw)
    chosen, capped = apply_caps(free, settings, origins)
    dropped += capped
    splits = split_groups(chosen, settings, groups)
    rows = [
        {name: pair[name] for name in _OWN} | {"split": splits[pair["group"]]}
        for pair in sorted(chosen, key=lambda pair: pair["pair_id"])
    ]
    counts = Counts(rows_in=len(pairs), rows_out=len(rows), dropped=+dropped)
    counts.extra = _summary(rows, held)
    with atomic_folder(out) as folder:
        write_table(folder / "pairs.parquet", rows, schemas.DATASET)
        for split in set(splits.values()):
            mine = [row for row in rows if row["split"] == split]
            write_table(folder / "splits" / f"{split}.parquet", mine, schemas.DATASET)
        write_table(folder / "held-out.parquet", held, schemas.HELD_OUT)
        write_croissant(folder)
        screened = pq.read_schema(inputs.screening).metadata or {}
        content = screened.get(b"content", b"none").decode()
        write_card(folder, chosen, splits, held, counts, origins, thresholds, content)
    return counts


def _summary(rows: list[dict[str, Any]], held: list[dict[str, Any]]) -> dict[str, Any]:
    table = Counter((row["degradation"], row["origin"], row["split"]) for row in rows)
    held_by = Counter(row["degradation"] for row in held)
    return {
        "pairs": {
            task.value: {
                f"{origin}_{split}": table[task.value, origin, split]
                for origin in ("real", "synthetic")
                for split in ("train", "validation")
            }
            | {"held_out": held_by[task.value]}
            for task in Degradation
        },
        "without_real_pairs": [
            task.value
            for task in Degradation
            if not any(table[task.value, "real", split] for split in ("train", "validation"))
        ],
    }
