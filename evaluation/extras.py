"""Further measures beside the score: second opinions that are reported and decide nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalog import schemas
from catalog.errors import ImageRefused
from catalog.images import Rgb
from catalog.tables import write_table
from evaluation.benchmark import Item
from evaluation.statistics import mean_interval
from networks.interfaces import Consistency
from networks.quality import Quality

OVERALL = "overall"


def load_extras(names: Sequence[str]) -> "Extras":
    """Distances (ms-ssim, gmsd, lpips:FILE) and no-reference measures (pyiqa:...), by name."""
    from networks.consistency import load_consistency
    from networks.quality import load_quality

    return Extras(
        [
            load_quality(name) if name.startswith("pyiqa:") else load_consistency(name)
            for name in dict.fromkeys(names)  # twice would count every image twice
        ]
    )


@dataclass
class Extras:
    """The measures and what they found so far (rows of schemas.EXTRAS)."""

    measures: Sequence[Consistency | Quality] = ()
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, item: Item, degraded: Rgb, restored: Rgb) -> None:
        """Measure one image; where a measure has no number for it the value is null."""
        for measure in self.measures:
            before, after = _values(measure, degraded, restored)
            self.rows.append(
                {
                    "image_id": item.image_id,
                    "name": item.name,
                    "degradation": item.degradation.value,
                    "measure": str(measure.identity),
                    "degraded": before,
                    "restored": after,
                }
            )

    def write(self, folder: Path) -> None:
        """extras.parquet; nothing where no measure was asked for."""
        if self.measures:
            write_table(folder / "extras.parquet", self.rows, schemas.EXTRAS)

    def summary(self, samples: int, seed: int) -> dict[str, Any]:
        """By measure: its kind, its direction, and means with 95 % intervals by task."""
        return {
            str(measure.identity): {
                "kind": "distance" if isinstance(measure, Consistency) else "quality",
                "lower_is_better": getattr(measure, "lower_is_better", True),
                "tasks": _by_task(self._of(str(measure.identity)), samples, seed),
            }
            for measure in self.measures
        }

    def _of(self, name: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["measure"] == name]


def _values(
    measure: Consistency | Quality, degraded: Rgb, restored: Rgb
) -> tuple[float | None, float | None]:
    if isinstance(measure, Consistency):
        return None, round(float(measure.distance(degraded, restored)), 6)
    found: list[float | None] = []
    for image in (degraded, restored):
        try:
            found.append(round(measure.quality(image), 6))
        except ImageRefused:
            found.append(None)
    return found[0], found[1]


def _by_task(rows: Sequence[Mapping[str, Any]], samples: int, seed: int) -> dict[str, Any]:
    tasks = list(dict.fromkeys(row["degradation"] for row in rows))
    result = {}
    for name in [*tasks, OVERALL]:
        mine = [row for row in rows if name in (row["degradation"], OVERALL)]
        result[name] = {side: _mean(mine, side, samples, seed) for side in ("degraded", "restored")}
    return result


def _mean(
    rows: Sequence[Mapping[str, Any]], side: str, samples: int, seed: int
) -> dict[str, Any] | None:
    known = [row for row in rows if row[side] is not None]
    if not known:
        return None
    values, strata = [row[side] for row in known], [row["degradation"] for row in known]
    return mean_interval(values, strata, samples, seed).as_json()
