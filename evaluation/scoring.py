"""Score a model on a benchmark: restore, judge both sides, measure how far the image moved."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from catalog.files import atomic_folder, write_json
from catalog.progress import track
from catalog.settings.evaluation import Evaluate
from evaluation.batches import Batch, batches, work
from evaluation.benchmark import Benchmark, Item
from evaluation.extras import Extras, load_extras
from evaluation.judging import CachedJudge
from evaluation.pictures import save_picture
from evaluation.repeat import repeat
from evaluation.restoring import Source
from evaluation.scores import SCORED, ImageScore, Provenance, ScoreTable
from evaluation.statistics import Agreement
from evaluation.summary import SAMPLES, SEED, summarise
from networks.interfaces import Consistency, Judgement


@dataclass
class Evaluation:
    """What `score` found."""

    table: ScoreTable
    repeat: Agreement
    failures: dict[str, str] = field(default_factory=dict)
    """Name of an image to why it has no score."""
    extras: Extras = field(default_factory=Extras)

    def summary(self) -> dict[str, Any]:
        """The content of summary.json."""
        found = summarise(self.table, self.repeat, self.failures)
        return found | {"extras": self.extras.summary(SAMPLES, SEED)}

    def write(self, folder: Path) -> None:
        """scores.parquet, extras.parquet and summary.json into an existing folder."""
        self.table.write(folder / "scores.parquet")
        self.extras.write(folder)
        write_json(folder / "summary.json", self.summary())


def score(
    benchmark: Benchmark,
    source: Source,
    judge: CachedJudge,
    consistency: Consistency,
    settings: Evaluate,
    out: Path | None,
) -> Evaluation:
    """Score `source` on `benchmark`; write scores, summary and pictures to the folder `out`.

    What can be asked again cheaply is not kept; restored images and judge answers are, so that a
    killed run continues where it was. `out` appears whole or not at all.
    """
    provenance = Provenance.of(
        judge.identity, consistency.identity, source.identity, benchmark.source, benchmark.digest
    )
    unknown = Agreement(0, float("nan"), float("nan"))
    result = Evaluation(ScoreTable(provenance, ()), unknown, extras=load_extras(settings.extras))
    if out is None:
        _fill(result, benchmark, source, judge, consistency, settings, None)
        return result
    with atomic_folder(out) as folder:
        _fill(result, benchmark, source, judge, consistency, settings, folder)
        result.write(folder)
    return result


def _fill(
    result: Evaluation,
    benchmark: Benchmark,
    source: Source,
    judge: CachedJudge,
    consistency: Consistency,
    settings: Evaluate,
    folder: Path | None,
) -> None:
    rows: list[ImageScore] = []
    for items in track(batches(benchmark.items, settings.batch_size), "evaluate"):
        batch = work(benchmark, items, source, judge)
        for item in items:
            row, why = _row(batch, item, consistency)
            rows.append(row)
            if why:
                result.failures[item.name] = why
            if item in batch.restored:
                result.extras.add(item, batch.degraded[item], batch.restored[item])
            if folder is not None:
                for side in ("degraded", "restored"):
                    if item in (pictures := getattr(batch, side)):
                        save_picture(folder, item, side, pictures[item], settings.picture_side)
    result.table = ScoreTable(result.table.provenance, tuple(rows))
    result.repeat = repeat(result.table.rows, benchmark, source, judge, settings)


def _row(batch: Batch, item: Item, consistency: Consistency) -> tuple[ImageScore, str | None]:
    """The score of one image, and why it has none."""
    outcome, why = batch.failures.get(item, (SCORED, ""))
    first, second = batch.before.get(item), batch.after.get(item)
    if first is not None and first.severity is None:
        outcome, why = "judge-failed-degraded", first.failure or "no answer"
    elif second is not None and second.severity is None:
        outcome, why = "judge-failed-restored", second.failure or "no answer"
    distance = None
    if item in batch.restored:
        moved = consistency.distance(batch.degraded[item], batch.restored[item])
        distance = round(float(moved), 6)
    row = ImageScore(
        item.image_id,
        item.name,
        item.degradation,
        outcome,
        _rounded(first),
        _rounded(second),
        distance,
    )
    return row, None if outcome == SCORED else f"{outcome}: {why}"


def _rounded(answer: Judgement | None) -> float | None:
    if answer is None or answer.severity is None:
        return None
    return round(float(np.float32(answer.severity)), 6)
