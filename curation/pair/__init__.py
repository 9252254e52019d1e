"""Stage pair: which targets make sound pairs -> data/real-pairs.parquet."""

from collections import Counter
from pathlib import Path
from typing import Any

from catalog import schemas
from catalog.degradations import Degradation
from catalog.pairs import pair_id
from catalog.settings.pairs import Pair
from catalog.stage import Counts
from catalog.tables import read_table, write_table
from curation.pair.checking import Candidate, Checker, is_judged
from curation.pair.measures import Measures
from curation.pair.verdict import verdict_of
from curation.units import compute


def pair(
    raw: Path, targets: Path, duplicates: Path, scratch: Path, out: Path, settings: Pair
) -> Counts:
    """Write one row (schemas.PAIRS, origin real) for each target that a teacher made.

    Where several teachers made targets of one image, the first sound one in the pool's order is
    kept and the others are dropped as "other-teacher".
    """
    made = [
        row
        for row in read_table(targets / "targets.parquet", schemas.TARGETS).to_pylist()
        if row["outcome"] == "made"
    ]
    columns = ["image_id", "group"]
    groups = dict(
        zip(*read_table(duplicates, schemas.DUPLICATES, columns).to_pydict().values(), strict=True)
    )
    candidates = [
        Candidate(row["degraded_id"], row["clean_id"], Degradation(row["degradation"]))
        for row in made
    ]
    checker = Checker(raw, targets, settings)
    rows: list[dict[str, Any]] = []
    settled: set[tuple[str, str]] = set()
    processes = checker.instruments.processes if candidates else None
    results = compute(candidates, checker, scratch, "pair", processes, is_final=is_judged)
    for target, candidate, result in zip(made, candidates, results, strict=True):
        measures = Measures(**result.rows[0])
        verdict, reason = verdict_of(measures, candidate.degradation, settings)
        task = (candidate.degraded_id, candidate.degradation.value)
        if verdict == "keep" and task in settled:
            verdict, reason = "drop", "other-teacher"
        elif verdict == "keep":
            settled.add(task)
        rows.append(
            {
                "pair_id": pair_id(*task[:1], candidate.clean_id, candidate.degradation),
                "degraded_id": candidate.degraded_id,
                "clean_id": candidate.clean_id,
                "degradation": candidate.degradation.value,
                "origin": "real",
                "group": groups.get(candidate.degraded_id) or candidate.degraded_id,
                "photo_id": candidate.degraded_id,
                "teacher": target["teacher"],
                "verdict": verdict,
                "reason": reason,
            }
            | measures.columns()
        )
    rows.sort(key=lambda row: row["pair_id"])
    write_table(out, rows, schemas.PAIRS)
    kept = [row for row in rows if row["verdict"] == "keep"]
    counts = Counts(rows_in=len(rows), rows_out=len(kept))
    counts.dropped = Counter(row["reason"] for row in rows if row["verdict"] == "drop")
    counts.extra = {"pairs": dict(sorted(Counter(row["degradation"] for row in kept).items()))}
    return counts
