"""What each stage took in, gave out and dropped, read from results/metrics."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from catalog import schemas
from catalog.layout import Layout
from catalog.tables import read_table


@dataclass(frozen=True)
class StageCounts:
    """One stage's numbers; None where a stage does not say."""

    stage: str
    rows_in: int | None
    rows_out: int | None
    dropped: dict[str, int] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def why(self) -> str:
        """The reasons for dropping, most frequent first."""
        ordered = sorted(self.dropped.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{reason} {count}" for reason, count in ordered)


def stages(root: Path) -> list[str]:
    """The stages of dvc.yaml in order."""
    return list(yaml.safe_load((root / "dvc.yaml").read_text("utf-8"))["stages"])


def outcomes(layout: Layout) -> Counter[str]:
    """How the fetching of every URL of every snapshot ended."""
    found: Counter[str] = Counter()
    for path in layout.outcomes:
        table = read_table(path, schemas.OUTCOMES, ["outcome"])
        found.update(table.column("outcome").to_pylist())
    return found


def collected(layout: Layout) -> StageCounts:
    """Collection as if it were a stage: URLs in, images stored out."""
    found = outcomes(layout)
    stored = found.pop("stored", 0)
    return StageCounts("collect", sum(found.values()) + stored, stored, dict(found))


def by_stage(layout: Layout) -> list[StageCounts]:
    """Collection and every stage that has run."""
    rows = [collected(layout)]
    for stage in stages(layout.root):
        path = layout.metrics(stage)
        if path.exists():
            content = json.loads(path.read_text("utf-8"))
            rows.append(
                StageCounts(
                    stage,
                    content.pop("rows_in", None),
                    content.pop("rows_out", None),
                    content.pop("dropped", {}),
                    content,
                )
            )
    return rows


def dataset_size(layout: Layout) -> int:
    """Pairs in the dataset; 0 where there is none."""
    path = layout.dataset / "pairs.parquet"
    return pq.read_metadata(path).num_rows if path.exists() else 0


def as_markdown(rows: list[StageCounts]) -> str:
    """A table for a run's page."""
    lines = ["| stage | in | out | dropped |", "| --- | ---: | ---: | --- |"]
    for row in rows:
        given = ["–" if n is None else f"{n:,}" for n in (row.rows_in, row.rows_out)]
        lines.append(f"| {row.stage} | {given[0]} | {given[1]} | {row.why or '–'} |")
    return "\n".join(lines)
