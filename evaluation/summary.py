"""Scores in numbers: by task and overall, in every reading, with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.scores import (
    READINGS,
    ImageScore,
    ScoreTable,
    bounded,
    columns,
    reading,
)
from evaluation.statistics import Agreement, Interval, bootstrap, tally

SAMPLES = 10_000
SEED = 0
OVERALL = "overall"


def intervals(rows: Sequence[ImageScore], samples: int = SAMPLES) -> dict[str, Interval]:
    """95 % intervals of RS, LPS and each reading over the counted rows."""
    strata = [row.degradation.value for row in rows]
    values = columns(rows)

    def of(statistic: Any) -> Interval:
        return bootstrap(values, strata, statistic, samples, SEED)

    found = {"rs": of(lambda means: means[:, 1]), "lps": of(lambda means: means[:, 0])}
    return found | {name: of(lambda means, name=name: reading(means, name)) for name in READINGS}


def by_task(table: ScoreTable, samples: int = SAMPLES) -> dict[str, dict[str, Interval]]:
    """`intervals` of each task and of all ("overall")."""
    counted = table.counted()
    result = {
        task.value: intervals([row for row in counted if row.degradation == task], samples)
        for task in table.tasks()
    }
    return result | {OVERALL: intervals(counted, samples)}


def summarise(
    table: ScoreTable, repeat: Agreement, failures: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The content of summary.json: no times, no paths, the same input gives the same bytes."""
    found = by_task(table)
    outcomes = table.outcomes()
    signs = tally([row.rs for row in table.counted()])
    return {
        "score_name": table.provenance.score_name,
        "proxy": table.provenance.proxy,
        "provenance": vars(table.provenance),
        "images": len(table.rows),
        "outcomes": outcomes,
        "rs_win_tie_loss": [signs.win, signs.tie, signs.loss],
        "tasks": {
            task: {name: _finite(interval) for name, interval in values.items()}
            for task, values in found.items()
        },
        "bounds_with_judge_failures": {
            name: [round(value, 6) for value in bounded(table.rows, name)]
            for name in ("released", "signed")
        }
        if table.rows
        else {},
        "repeat": {
            "images": repeat.images,
            "same": _number(repeat.same),
            "kappa": _number(repeat.kappa),
        },
        "failures": dict(sorted((failures or {}).items())),
    }


def _number(value: float) -> float | None:
    return None if value != value else round(value, 6)


def _finite(interval: Interval) -> dict[str, Any]:
    fields = interval.as_json()
    return {key: None if value != value else value for key, value in fields.items()}
