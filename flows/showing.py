"""What the demo shows at its end."""

import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows import counts
from flows.environment import prefect_home
from flows.workspace import Workspace

_COLOUR = {"promote": "green", "reject": "red", "inconclusive": "yellow"}


def show(tree: Workspace, result: dict[str, Any], seconds: float) -> None:
    """Print counts by stage, scores by task, the verdict, and where everything is."""
    console = Console(highlight=False, width=None if Console().is_terminal else 110)
    console.print(_counts(tree))
    console.print(_scores(tree))
    verdict = result["verdict"]
    console.print(
        f"\n[bold]Verdict on version {result['version']}: "
        f"[{_COLOUR.get(verdict, 'white')}]{verdict}[/][/] in {seconds:.0f} s"
    )
    for reason in result["reasons"]:
        console.print(f"  - {escape(reason)}")
    console.print(_places(tree, result))


def _counts(tree: Workspace) -> Table:
    table = Table(title="Counts by stage", title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("stage")
    table.add_column("in", justify="right")
    table.add_column("out", justify="right")
    table.add_column("dropped, and why", overflow="fold")
    for row in counts.by_stage(tree.layout):
        given = ["" if n is None else f"{n:,}" for n in (row.rows_in, row.rows_out)]
        table.add_row(row.stage, *given, escape(row.why))
    return table


def _scores(tree: Workspace) -> Table | str:
    path = tree.layout.evaluation / "summary.json"
    if not path.exists():
        return "No scores."
    summary = json.loads(path.read_text("utf-8"))
    name = summary["score_name"]
    table = Table(
        title=escape(f"Scores by task ({summary['provenance']['judge']})"),
        title_justify="left",
        show_edge=False,
        pad_edge=False,
    )
    table.add_column("task")
    for column in (f"{name} (95 %)", "RS" if not summary["proxy"] else "proxy RS", "distance"):
        table.add_column(column, justify="right")
    tasks = summary["tasks"]
    for task in sorted(tasks, key=lambda name: (name == "overall", name)):
        values = tasks[task]
        score = values["released"]
        table.add_row(
            task,
            f"{_number(score['estimate'])} ({_number(score['low'])} .. {_number(score['high'])})",
            _number(values["rs"]["estimate"]),
            _number(values["lps"]["estimate"]),
            style="bold" if task == "overall" else "",
        )
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _places(tree: Workspace, result: dict[str, Any]) -> str:
    root, version = tree.root, result["version"]
    return (
        f"\n[bold]Report[/]   {escape(str(Path(result['report'])))}\n"
        f"[bold]Decide[/]   cd {escape(str(root))} && mendline review, then "
        f"mendline approve {version} --by YOU, or mendline reject {version} --by YOU --reason WHY\n"
        f"[bold]MLflow[/]   {escape(mlflow_at(tree))}\n"
        f"[bold]Prefect[/]  {escape(prefect_at(tree))}\n"
        f"[bold]Trace[/]    cd {escape(str(root))} && mendline trace IMAGE_ID_OR_URL"
    )


def mlflow_at(tree: Workspace) -> str:
    """The address of the registry that was used, or the command that serves it."""
    from evaluation.registry.store import public

    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    if server.startswith(("http://", "https://")):
        return public(server)
    store = public(server) if server else f"sqlite:///{tree.layout.mlflow_database}"
    return f"mlflow ui --backend-store-uri {store}"


def prefect_at(tree: Workspace) -> str:
    """The address of the server that was used, or the command that serves its database."""
    from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL

    if PREFECT_API_URL.value():
        return str(PREFECT_UI_URL.value())
    home = os.environ.get("PREFECT_HOME", "")
    return f"PREFECT_HOME={home or prefect_home(tree.root)} prefect server start"
