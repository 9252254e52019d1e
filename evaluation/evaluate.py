"""Stage `evaluate`: score models/finetune on the benchmark."""

from pathlib import Path

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.evaluation import Evaluate
from catalog.stage import Counts, run_stage
from evaluation.benchmark import Benchmark, open_benchmark
from evaluation.judging import CachedJudge
from evaluation.restoring import RestorerSource
from evaluation.scores import SCORED, ScoreTable
from evaluation.scoring import Evaluation, score
from evaluation.summary import OVERALL, by_task
from networks.interfaces import Restorer


def evaluate(layout: Layout, settings: Evaluate) -> Counts:
    """Write results/evaluation; return the counts and the headline numbers."""
    benchmark = open_benchmark(layout, settings.max_side)
    found = evaluate_model(layout, settings, benchmark, layout.finetune, layout.evaluation)
    return counts(found.table)


def evaluate_model(
    layout: Layout, settings: Evaluate, benchmark: Benchmark, model: Path | str, out: Path
) -> Evaluation:
    """Score the model folder (or restorer name) `model` on `benchmark` into the folder `out`."""
    from networks.restorers import load_restorer

    if isinstance(model, Path) and not (model / "config.json").exists():
        raise UserError(
            f"There is no model in {model}.", "Run `dvc repro finetune` to train it, then again."
        )
    return evaluate_restorer(layout, settings, benchmark, load_restorer(str(model)), out)


def evaluate_restorer(
    layout: Layout, settings: Evaluate, benchmark: Benchmark, restorer: Restorer, out: Path
) -> Evaluation:
    """Score a loaded restorer; judge answers and unfinished work are in the stage's scratch."""
    from networks.consistency import load_consistency
    from networks.judges import load_judge

    scratch = layout.scratch("evaluate")
    source = RestorerSource(restorer, benchmark, scratch / "restored")
    consistency = load_consistency(settings.consistency)
    network = load_judge(settings.judge)
    with CachedJudge(network, scratch / "judgements.db", settings.batch_size) as judge:
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
