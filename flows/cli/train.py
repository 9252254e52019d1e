"""`mendline train`: show or run a training stage of the work tree."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("stage", type=click.Choice(["transfer", "finetune"]))
@click.option("--dry-run", is_flag=True, help="Only say what the stage will do and cost.")
@click.option(
    "--processes",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Of torchrun, for the estimates.",
)
@click.option("--run", metavar="RUN_ID", help="MLflow run that gets the metrics while it trains.")
def train(stage: str, dry_run: bool, processes: int, run: str | None) -> None:
    """Run STAGE on the dataset of the current work tree, going on from where it stopped.

    --dry-run prints steps, samples by task, and estimates of memory and time. A full run does what
    `dvc repro STAGE` does, without recording it in dvc.lock. With --run, metrics go to that run of
    the work tree's store (or of MLFLOW_TRACKING_URI) every few seconds.
    """
    from catalog.files import write_json
    from catalog.layout import Layout
    from catalog.settings import load_params
    from catalog.stage import alone
    from training.plan import describe, make_plan
    from training.stage import Inputs, train_stage

    layout = Layout(Path.cwd())
    params = load_params(layout.params)
    settings = getattr(params, stage)
    inputs = Inputs.of(layout, stage)
    plan = make_plan(inputs, params.student, settings, params.network, processes)
    click.echo(describe(stage, plan))
    if dry_run:
        return
    output, scratch = getattr(layout, stage), layout.scratch(stage)
    following: AbstractContextManager[Any] = nullcontext()
    if run is not None:
        from evaluation.registry.store import connect
        from flows.live_metrics import LiveMetrics

        registry = connect(layout, params.gate.model_name)
        registry.check_run(run)
        following = LiveMetrics(registry.client, run, stage, scratch)
    with alone(layout, stage), following:
        counts = train_stage(
            stage, inputs, output, scratch, params.student, settings, params.network
        )
        write_json(layout.metrics(stage), counts.as_json())
    best = counts.extra["best"]
    score = f", {best['gain_db']:+.2f} dB on the validation pairs" if "gain_db" in best else ""
    click.echo(f"The best model is that of step {best['step']}{score}: {output}")
