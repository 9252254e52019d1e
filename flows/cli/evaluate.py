"""`mendline evaluate`: score predictions or a restorer on one's own images."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.layout import Layout
from flows.cli.out import OUT_PATH

_FOLDER = click.Path(path_type=Path)
_TASKS = [name.value for name in Degradation]


@click.command()
@click.option("--reference", type=_FOLDER, help="Folder of the degraded images of one task.")
@click.option("--benchmark", type=_FOLDER, help="All tasks: folders, Parquet or a saved dataset.")
@click.option("--predictions", type=_FOLDER, help="Folder of restored images, by relative name.")
@click.option(
    "--restorer", help="Instead: a restorer's name, a model folder or models:/NAME@ALIAS."
)
@click.option("--task", type=click.Choice(_TASKS), help="With --reference.")
@click.option("--out", type=OUT_PATH, required=True, help="R.json, or a folder with --benchmark.")
@click.option("--judge", default="proxy", show_default=True, help="Who judges the severity.")
@click.option(
    "--consistency", default="ms-ssim", show_default=True, help="ms-ssim, gmsd or lpips:FILE."
)
@click.option(
    "--full-reference", is_flag=True, help="--reference holds clean images: PSNR and SSIM instead."
)
@click.option("--batch-size", default=8, show_default=True, type=click.IntRange(1, 1024))
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(0, 64),
    help="Processes that restore and judge, each on a GPU where there are any; 0: one a GPU.",
)
@click.option(
    "--extra",
    multiple=True,
    metavar="MEASURE",
    help="A further measure beside the score: gmsd, pyiqa:piqe, ...; repeatable.",
)
@click.option("--max-side", type=click.IntRange(64), help="Scale larger images down to this.")
def evaluate(
    reference: Path | None,
    benchmark: Path | None,
    predictions: Path | None,
    restorer: str | None,
    task: str | None,
    out: Path,
    judge: str,
    consistency: str,
    full_reference: bool,
    batch_size: int,
    workers: int,
    extra: tuple[str, ...],
    max_side: int | None,
) -> None:
    """Score predictions against the degraded images they restore.

    Predictions are matched by relative name and resized to their reference. What is missing or
    unreadable is counted, by cause, and scores 0.
    """
    from catalog.settings.evaluation import Evaluate
    from evaluation.benchmark import read_benchmark, read_task

    if (reference is None) == (benchmark is None):
        raise click.UsageError("Give either --reference with --task, or --benchmark.")
    if (predictions is None) == (restorer is None):
        raise click.UsageError("Give either --predictions or --restorer.")
    if reference is not None and task is None and not full_reference:
        raise click.UsageError("--reference needs --task: which degradation is judged?")
    if full_reference and (reference is None or predictions is None):
        raise click.UsageError("--full-reference compares --predictions with --reference.")
    if reference is not None and out.is_dir():
        raise UserError(f"{out} is a folder.", "With --reference, name a file: --out scores.json.")
    if reference is None and out.is_file():
        raise UserError(f"{out} is a file.", "With --benchmark, name a folder: --out scores.")
    if reference is not None:
        opened = read_task(reference, Degradation(task or Degradation.BLUR), max_side)
    else:
        opened = read_benchmark(benchmark, max_side)  # type: ignore[arg-type]  # one is given
    if full_reference:
        _full_reference(opened, predictions, consistency, out)
        return
    settings = Evaluate(
        judge=judge,
        consistency=consistency,
        extras=extra,
        batch_size=batch_size,
        workers=workers,
        max_side=max_side,
    )
    _score(opened, predictions, restorer, settings, out, task)


def _score(
    opened: Any,
    predictions: Path | None,
    restorer: str | None,
    settings: Any,
    out: Path,
    task: str | None,
) -> None:
    from catalog.files import write_json
    from evaluation.evaluate import evaluate_source, restored_by
    from evaluation.restoring import predictions_in
    from flows.registry_models import local_model

    scratch = Layout(Path.cwd()).scratch("evaluate")
    made: Any
    if predictions is not None:
        made = partial(predictions_in, predictions)
    else:
        model = local_model(Layout(Path.cwd()), str(restorer))
        folder = click.get_current_context().with_resource(model)
        made = partial(restored_by, folder, scratch / "restored")
    found = evaluate_source(settings, opened, made, scratch, out if task is None else None)
    result = found.summary()
    if task is not None:
        rows = [
            {**vars(row), "released": row.released, "signed": round(row.signed, 6)}
            for row in found.table.rows
        ]
        write_json(out, {"task": task, **result, "rows": rows})
    _print(result)
    click.echo(f"Written to {out}.")


def _full_reference(opened: Any, predictions: Path | None, consistency: str, out: Path) -> None:
    from catalog.files import write_json
    from evaluation.full_reference import full_reference
    from evaluation.restoring import FolderSource
    from networks.consistency import load_consistency

    if predictions is None:
        raise click.UsageError("--full-reference needs --predictions.")
    source = FolderSource(predictions, predictions.resolve().name, opened)
    result = full_reference(opened, source, load_consistency(consistency))
    write_json(out, result)
    click.echo(json.dumps({"outcomes": result["outcomes"], "mean": result["mean"]}, indent=2))
    click.echo(f"Written to {out}.")


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    name = result["score_name"]
    table = Table(title=f"{name} by task, 95 % intervals")
    for column in ("task", "images", "RS", "distance", f"{name} released", f"{name} paper"):
        table.add_column(column, justify="left" if column == "task" else "right")
    for task, values in result["tasks"].items():
        cells = [_cell(values[key]) for key in ("rs", "lps", "released", "paper")]
        table.add_row(task, str(values["rs"]["n"]), *cells)
    console = Console()
    console.print(table)
    if result["proxy"]:
        console.print("Scored by a proxy: these numbers are not FS.", style="yellow")
    missed = {key: value for key, value in result["outcomes"].items() if key != "scored"}
    if missed:
        console.print("Not scored: " + ", ".join(f"{key} {value}" for key, value in missed.items()))


def _cell(interval: dict[str, Any]) -> str:
    if interval["estimate"] is None:
        return "-"
    if interval["low"] is None:
        return f"{interval['estimate']:.4f}"
    return f"{interval['estimate']:.4f} [{interval['low']:.4f}, {interval['high']:.4f}]"
