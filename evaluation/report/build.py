"""Fill the report's template.

The same input gives the same bytes: no times, no run ids. The hash of the file is what an approval
is bound to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from catalog.degradations import Degradation
from evaluation.gate import Verdict
from evaluation.pictures import picture_path
from evaluation.report.dropped import Cause, picture_uri
from evaluation.report.plots import forest, histogram, scale_of, sign
from evaluation.report.published import PUBLISHED
from evaluation.scores import ImageScore, ScoreTable
from evaluation.spending import percent
from evaluation.statistics import Agreement, Interval
from evaluation.summary import OVERALL, by_task

MAX_PICTURE_BYTES = 11_000_000
"""Of the JPEGs before base64; with those of `dropped` the file stays below 20 MB."""
WORST, BEST = 3, 1
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Side:
    """One model's evaluation folder."""

    name: str
    table: ScoreTable
    folder: Path


@dataclass(frozen=True)
class Case:
    """One image before and after."""

    name: str
    degraded: str
    restored: str
    champion: str | None
    width: int
    height: int
    before: float
    after: float
    score: float
    difference: float | None
    mark: str


def build_report(
    candidate: Side,
    champion: Side | None,
    verdict: Verdict,
    repeat: Agreement,
    failures: Mapping[str, str],
    causes: Sequence[Cause] | None,
    lineage: Mapping[str, str],
    extras: Mapping[str, Any] | None = None,
    sealed: Markup | None = None,
) -> str:
    """The whole HTML page, below 20 MB.

    `causes` is None where the work tree holds another dataset than the candidate learned from:
    nothing is told of it then. `extras` is that part of summary.json, `sealed` the line of
    `report.seal`.
    """
    environment = Environment(
        loader=PackageLoader("evaluation.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "signed": _signed,
        "plain": _plain,
        "interval": _interval,
        "ends": _ends,
        "percent": percent,
    }
    mine = by_task(candidate.table)
    theirs = by_task(champion.table) if champion else None
    stages: dict[str, list[Cause]] = {}
    for cause in causes or ():
        stages.setdefault(cause.stage, []).append(cause)
    return environment.get_template("template.html.j2").render(
        style=Markup(_text("style.css")),  # noqa: S704  our own file
        script=Markup(_text("script.js")),  # noqa: S704  our own file
        candidate=candidate,
        champion=champion,
        verdict=verdict,
        proxy=candidate.table.provenance.proxy,
        score="FS" if not candidate.table.provenance.proxy else "proxy_fs",
        rs="RS" if not candidate.table.provenance.proxy else "proxy_rs",
        provenance=candidate.table.provenance,
        overall=mine[OVERALL],
        champion_overall=theirs[OVERALL] if theirs else None,
        tasks=_task_rows(mine, theirs, verdict),
        overall_row=_overall_row(mine, theirs, verdict),
        outcomes=candidate.table.outcomes(),
        histogram=histogram(
            [("candidate", [row.rs for row in candidate.table.counted()])]
            + ([("champion", [row.rs for row in champion.table.counted()])] if champion else [])
        ),
        cases=_cases(candidate, champion),
        published=PUBLISHED,
        published_tasks=[task.value for task in Degradation],
        mine=mine,
        repeat=repeat,
        failures=failures,
        stages=stages,
        other_data=causes is None,
        lineage=lineage,
        extras=extras or {},
        sealed=sealed or Markup(),
        OVERALL=OVERALL,
    )


def _text(name: str) -> str:
    return (_HERE / name).read_text("utf-8")


def _task_rows(
    mine: Mapping[str, Mapping[str, Interval]],
    theirs: Mapping[str, Mapping[str, Interval]] | None,
    verdict: Verdict,
) -> list[dict[str, Any]]:
    limit = scale_of([result.difference for result in verdict.tasks.values()])
    return [
        {
            "name": task.value,
            "scores": mine[task.value],
            "champion": (theirs or {}).get(task.value),
            "result": result,
            "sign": sign(result.difference),
            "plot": forest(result.difference, limit),
        }
        for task, result in verdict.tasks.items()
    ]


def _overall_row(
    mine: Mapping[str, Mapping[str, Interval]],
    theirs: Mapping[str, Mapping[str, Interval]] | None,
    verdict: Verdict,
) -> dict[str, Any]:
    limit = scale_of([result.difference for result in verdict.tasks.values()])
    results = verdict.tasks.values()
    return {
        "scores": mine[OVERALL],
        "champion": (theirs or {}).get(OVERALL),
        "plot": forest(verdict.difference, limit),
        "sign": sign(verdict.difference),
        "win": sum(result.win for result in results),
        "tie": sum(result.tie for result in results),
        "loss": sum(result.loss for result in results),
    }


def _cases(candidate: Side, champion: Side | None) -> dict[str, list[Case]]:
    """The worst few of each task first, then the best, within the limit of bytes."""
    other = {(r.image_id, r.degradation): r for r in champion.table.rows} if champion else {}
    found: dict[str, list[Case]] = {}
    spent = 0
    chosen = {task: _choose(candidate.table, task, other) for task in candidate.table.tasks()}
    # Round by round over the tasks, so that a full page loses the least telling cases.
    for place in range(WORST + BEST):
        for task, rows in chosen.items():
            if place >= len(rows):
                continue
            row, difference, mark = rows[place]
            size = _picture_bytes(row, candidate, champion)
            if size is None or spent + size > MAX_PICTURE_BYTES:
                continue
            spent += size
            found.setdefault(task.value, []).append(
                _case(row, difference, mark, candidate, champion)
            )
    return {task.value: found[task.value] for task in chosen if task.value in found}


def _choose(
    table: ScoreTable, task: Degradation, other: Mapping[Any, ImageScore]
) -> list[tuple[ImageScore, float | None, str]]:
    rows = []
    for row in table.rows:
        if row.degradation != task or row.severity_restored is None or not row.counted:
            continue
        against = other.get((row.image_id, task))
        difference = row.signed - against.signed if against and against.counted else None
        rows.append((row, difference))
    rows.sort(key=lambda pair: (pair[0].signed if pair[1] is None else pair[1], pair[0].image_id))
    best = rows[-BEST:] if len(rows) > WORST else []
    worst = rows[: min(WORST, len(rows) - len(best))]
    return [
        *(
            (row, difference, "worst" if i == 0 else "")
            for i, (row, difference) in enumerate(worst)
        ),
        *((row, difference, "best") for row, difference in best),
    ]


def _picture_bytes(row: ImageScore, candidate: Side, champion: Side | None) -> int | None:
    total = 0
    for side, name in ((candidate, "degraded"), (candidate, "restored"), (champion, "restored")):
        if side is None:
            continue
        path = side.folder / picture_path(row.degradation, row.image_id, name)
        if path.exists():
            total += path.stat().st_size
        elif side is candidate:
            return None
    return total


def _case(
    row: ImageScore, difference: float | None, mark: str, candidate: Side, champion: Side | None
) -> Case:
    from PIL import Image

    path = candidate.folder / picture_path(row.degradation, row.image_id, "degraded")
    restored = picture_path(row.degradation, row.image_id, "restored")
    with Image.open(path) as picture:
        width, height = picture.size
    return Case(
        row.name,
        picture_uri(path) or "",
        picture_uri(candidate.folder / restored) or "",
        picture_uri(champion.folder / restored) if champion else None,
        width,
        height,
        row.severity_degraded or 0.0,
        row.severity_restored or 0.0,
        row.signed,
        difference,
        mark,
    )


def _signed(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or value != value else f"{value:+.{digits}f}".replace("-", "−")


def _plain(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or value != value else f"{value:.{digits}f}".replace("-", "−")


def _interval(interval: Interval | None, digits: int = 3) -> str:
    if interval is None or interval.low is None or interval.high is None:
        return ""
    return f"[{_signed(interval.low, digits)}, {_signed(interval.high, digits)}]"


def _ends(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return ""
    return f"{_plain(interval.low)} to {_plain(interval.high)}"
