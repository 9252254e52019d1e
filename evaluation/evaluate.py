"""Stage `evaluate`: score models/finetune on the benchmark."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.evaluation import Evaluate
from catalog.stage import Counts, run_stage
from evaluation.batches import batches
from evaluation.benchmark import Benchmark, open_benchmark
from evaluation.judging import CachedJudge
from evaluation.restoring import RestorerSource, Source
from evaluation.scores import SCORED, ScoreTable
from evaluation.scoring import Evaluation, score
from evaluation.summary import OVERALL, by_task
from evaluation.workers import Work, places, share


def evaluate(layout: Layout, settings: Evaluate) -> Counts:
    """Write results/evaluation; return the counts and the headline numbers."""
    benchmark = open_benchmark(layout, settings.max_side)
    found = evaluate_model(layout, settings, benchmark, layout.finetune, layout.evaluation)
    return counts(found.table)


def evaluate_model(
    layout: Layout, settings: Evaluate, benchmark: Benchmark, model: Path | str, out: Path
) -> Evaluation:
    """Score the model folder (or restorer name) `model` on `benchmark` into the folder `out`.

    Judge answers and unfinished work are in the stage's scratch.
    """
    if isinstance(model, Path) and not model.is_dir():
        raise UserError(
            f"There is no model in {model}.", "Run `dvc repro finetune` to train it, then again."
        )
    scratch = layout.scratch("evaluate")
    opened = partial(restored_by, str(model), scratch / "restored")
    return evaluate_source(settings, benchmark, opened, scratch, out)


def restored_by(name: str, scratch: Path, benchmark: Benchmark) -> RestorerSource:
    """The restorer called `name` as a source of restored images kept in `scratch`."""
    from networks.restorers import load_restorer

    return RestorerSource(load_restorer(name), benchmark, scratch)


def evaluate_source(
    settings: Evaluate,
    benchmark: Benchmark,
    opened: Callable[[Benchmark], Source],
    scratch: Path,
    out: Path | None,
) -> Evaluation:
    """Score what `opened` gives, with the judge and the distance of `settings`.

    `opened` is called in every worker, so it is a partial of a module's function.
    """
    from networks.consistency import load_consistency
    from networks.judges import load_judge

    consistency = load_consistency(settings.consistency)
    answers = scratch / "judgements.db"
    if settings.workers != 1 and len(devices := places(settings.workers)) > 1:
        if benchmark.reopen is None:
            raise RuntimeError(f"The benchmark {benchmark.source} cannot be opened by workers.")
        job = Work(
            benchmark.reopen,
            benchmark.digest,
            opened,
            settings.judge,
            answers,
            settings.batch_size,
        )
        share(job, len(batches(benchmark.items, settings.batch_size)), devices)
    # After the workers have ended: beside them a large model would not fit on the first GPU.
    source = opened(benchmark)
    with CachedJudge(load_judge(settings.judge), answers, settings.batch_size) as judge:
        found = score(benchmark, source, judge, consistency, settings, out)
    source.discard()
    return found


def counts(table: ScoreTable) -> Counts:
    """Rows in and out, what was not scored and why, and the readings by task."""
    outcomes = table.outcomes()
    result = Counts(rows_in=len(table.rows), rows_out=outcomes.pop(SCORED, 0))
    result.dropped.update(outcomes)
    name = table.provenance.score_name
    prefix = "" if name == "fs" else "proxy_"
    for task, values in by_task(table, samples=100).items():
        result.extra[task] = {
            f"{prefix}fs_released": _round(values["released"].estimate),
            f"{prefix}fs_paper": _round(values["paper"].estimate),
            f"{prefix}rs": _round(values["rs"].estimate),
            "distance": _round(values["lps"].estimate),
        }
    result.extra.setdefault(OVERALL, {})
    return result


def _round(value: float) -> float | None:
    return None if value != value else round(value, 6)


if __name__ == "__main__":
    run_stage("evaluate", lambda layout, params: evaluate(layout, params.evaluate))
