"""`mendline teachers`: who is asked for clean targets, in which order."""

from pathlib import Path

import click

from catalog.errors import UserError


@click.command()
@click.option("--fetch", is_flag=True, help="Copy teachers with a models:/ URI from the registry.")
@click.option(
    "--measured",
    multiple=True,
    metavar="TEACHER=FOLDER",
    help="Enter a teacher's scores from a folder that `mendline evaluate --out` wrote.",
)
@click.option(
    "--reading",
    type=click.Choice(["released", "paper", "signed"]),
    default="signed",
    show_default=True,
    help="Which reading of the score orders them.",
)
@click.option(
    "--root", default=Path(), type=click.Path(path_type=Path, exists=True), help="The work tree."
)
def teachers(fetch: bool, measured: tuple[str, ...], reading: str, root: Path) -> None:
    """Show the teachers of every degradation in the order in which they are asked."""
    from catalog.degradations import Degradation
    from catalog.layout import Layout
    from catalog.settings import load_params
    from curation.teach import pool_of
    from curation.teach.order import read_scores

    layout = Layout(root.resolve())
    params = load_params(layout.params)
    if measured:
        _enter(layout.teachers, measured, reading)
    if fetch:
        from flows.registry_models import fetch_teachers

        found = fetch_teachers(layout, params)
        click.echo(f"Fetched: {', '.join(found) or 'no teacher is of the registry'}.")
    scores = read_scores(layout.teachers)
    for task in Degradation:
        names = pool_of(params.teach, task, scores)
        told = [
            f"{name} ({scores[name][task]:.3f})" if task in scores.get(name, {}) else name
            for name in names
        ]
        click.echo(f"{task:<12} {', '.join(told)}")


def _enter(folder: Path, measured: tuple[str, ...], reading: str) -> None:
    """Add to scores.json. Refuses teachers scored by another judge or on another benchmark."""
    import json

    from catalog.degradations import Degradation
    from catalog.files import write_json
    from curation.teach.order import FILE, read_scores

    known = {name: dict(tasks) for name, tasks in read_scores(folder).items()}
    file = folder / FILE
    measure = json.loads(file.read_text("utf-8"))["measure"] if file.exists() else None
    for one in measured:
        name, _, place = one.rpartition("=")
        path = Path(place) / "summary.json"
        try:
            summary = json.loads(path.read_text("utf-8"))
            who = summary["provenance"]
            own = [who[f"{what}_digest"] for what in ("judge", "consistency", "benchmark")]
            tasks = {
                str(task): summary["tasks"][task][reading]["estimate"]
                for task in Degradation
                if task in summary["tasks"]
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is no summary of an evaluation: {error}.",
                "Give TEACHER=FOLDER, with a folder that `mendline evaluate --out` wrote.",
            ) from error
        if not name or measure not in (None, [*own, reading]):
            raise UserError(
                f"{one} cannot be compared with the scores in {file}."
                if name
                else f"{one} names no teacher.",
                f"Evaluate all teachers alike, or delete {file} first."
                if name
                else "Give TEACHER=FOLDER, with the teacher's name as in params.yaml.",
            )
        measure = [*own, reading]
        known[name] = {task: value for task, value in tasks.items() if value is not None}
    write_json(file, {"measure": measure, "scores": known})
