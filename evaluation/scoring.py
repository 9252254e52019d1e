"""Score a model on a benchmark: restore, judge both sides, measure how far the image moved."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from catalog.degradations import Degradation
from catalog.errors import ImageRefused
from catalog.files import atomic_folder, write_json
from catalog.images import Rgb
from catalog.progress import track
from catalog.settings.evaluation import Evaluate
from evaluation.benchmark import Benchmark, Item
from evaluation.judging import CachedJudge, ask
from evaluation.pictures import save_picture
from evaluation.restoring import Failed, Source
from evaluation.scores import SCORED, ImageScore, Provenance, ScoreTable
from evaluation.statistics import Agreement, agreement
from evaluation.summary import summarise
from networks.interfaces import Consistency


@dataclass
class Evaluation:
    """What `score` found."""

    table: ScoreTable
    repeat: Agreement
    failures: dict[str, str] = field(default_factory=dict)
    """Name of an image to why it has no score."""

    def write(self, folder: Path) -> None:
        """scores.parquet and summary.json into an existing folder."""
        self.table.write(folder / "scores.parquet")
        write_json(folder / "summary.json", summarise(self.table, self.repeat, self.failures))


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
    result = Evaluation(ScoreTable(provenance, ()), Agreement(0, float("nan"), float("nan")))
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
    batches = list(_batches(benchmark.items, settings.batch_size))
    for batch in track(batches, "evaluate"):
        rows += _score_batch(result, benchmark, batch, source, judge, consistency, settings, folder)
    result.table = ScoreTable(result.table.provenance, tuple(rows))
    result.repeat = _repeat(result.table.rows, benchmark, source, judge, settings)


def _batches(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    for task in Degradation:
        chosen = [item for item in items if item.degradation == task]
        for start in range(0, len(chosen), size):
            yield chosen[start : start + size]


def _score_batch(
    result: Evaluation,
    benchmark: Benchmark,
    batch: list[Item],
    source: Source,
    judge: CachedJudge,
    consistency: Consistency,
    settings: Evaluate,
    folder: Path | None,
) -> list[ImageScore]:
    rows: dict[Item, ImageScore] = {}
    degraded: dict[Item, Rgb] = {}
    restored: dict[Item, Rgb] = {}

    def fail(item: Item, outcome: str, why: str) -> None:
        result.failures[item.name] = f"{outcome}: {why}"
        rows[item] = ImageScore(item.image_id, item.name, item.degradation, outcome)

    for item in batch:
        try:
            degraded[item] = benchmark.image(item)
        except ImageRefused as error:
            fail(item, "unreadable-reference", error.what)
    source.prepare(list(degraded), list(degraded.values()))
    for item, picture in degraded.items():
        try:
            restored[item] = source.get(item, picture)
        except Failed as failure:
            fail(item, failure.outcome, str(failure))
    task = batch[0].degradation
    before = dict(zip(degraded, judge.judge(list(degraded.values()), task), strict=True))
    after = dict(zip(restored, judge.judge(list(restored.values()), task), strict=True))
    for item, first in before.items():
        second = after.get(item)
        outcome = rows[item].outcome if item in rows else SCORED
        if first.severity is None:
            outcome = "judge-failed-degraded"
            result.failures[item.name] = f"{outcome}: {first.failure}"
        elif second is not None and second.severity is None:
            outcome = "judge-failed-restored"
            result.failures[item.name] = f"{outcome}: {second.failure}"
        distance = None
        if item in restored:
            distance = round(float(consistency.distance(degraded[item], restored[item])), 6)
        rows[item] = ImageScore(
            item.image_id,
            item.name,
            item.degradation,
            outcome,
            _rounded(first.severity),
            _rounded(second.severity) if second is not None else None,
            distance,
        )
        if folder is not None:
            save_picture(folder, item, "degraded", degraded[item], settings.picture_side)
            if item in restored:
                save_picture(folder, item, "restored", restored[item], settings.picture_side)
    return [rows[item] for item in batch]


def _rounded(severity: float | None) -> float | None:
    return None if severity is None else round(float(np.float32(severity)), 6)


def _repeat(
    rows: Sequence[ImageScore],
    benchmark: Benchmark,
    source: Source,
    judge: CachedJudge,
    settings: Evaluate,
) -> Agreement:
    """Ask the judge again about some images, shuffled and in another batch size, past its cache."""
    by_key = {(item.name, item.degradation): item for item in benchmark.items}
    asked: list[tuple[Item, bool, float]] = []
    for row in rows:
        item = by_key[(row.name, row.degradation)]
        if row.severity_degraded is not None:
            asked.append((item, False, row.severity_degraded))
        if row.severity_restored is not None:
            asked.append((item, True, row.severity_restored))
    rng = np.random.default_rng(settings.seed)
    chosen = [asked[index] for index in rng.permutation(len(asked))[: settings.repeat_images]]
    other_size = settings.batch_size // 2 if settings.batch_size > 1 else 2
    first: list[float | None] = []
    second: list[float | None] = []
    for task in Degradation:
        mine = [entry for entry in chosen if entry[0].degradation == task]
        for start in range(0, len(mine), other_size):
            part = mine[start : start + other_size]
            pictures = []
            for item, is_restored, _ in part:
                picture = benchmark.image(item)
                pictures.append(source.get(item, picture) if is_restored else picture)
            answers = ask(judge.judge_network, pictures, task)
            first += [severity for _, _, severity in part]
            second += [answer.severity for answer in answers]
    return agreement(first, second)
