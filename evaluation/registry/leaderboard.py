"""Versions and teachers by task, best first; what cannot be compared is in tables of its own."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from rich.markup import escape
from rich.table import Table

from catalog.degradations import Degradation
from catalog.errors import UserError
from evaluation.registry.register import EVALUATION
from evaluation.registry.store import Registry
from evaluation.summary import OVERALL

READINGS = ("released", "paper", "signed")


@dataclass(frozen=True)
class Entry:
    """One model's scores: task (or "overall") to an interval of the summary."""

    name: str
    scores: Mapping[str, Mapping[str, Any]]


@dataclass
class Board:
    """Models scored by one judge and one distance on one benchmark."""

    score_name: str
    judge: str
    consistency: str
    benchmark: str
    entries: list[Entry] = field(default_factory=list)


def boards(registry: Registry, also: Sequence[Path] = (), reading: str = "paper") -> list[Board]:
    """One board a combination of judge, distance and benchmark, the fullest first.

    `also` are folders that `mendline evaluate --benchmark --out` wrote (teachers, other models).
    """
    found: dict[tuple[str, ...], Board] = {}
    for name, summary in _versions(registry):
        _enter(found, name, summary, reading)
    for folder in also:
        file = folder / "summary.json"
        try:
            _enter(found, folder.name, json.loads(file.read_text("utf-8")), reading)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{file} is no summary of an evaluation: {error}.",
                "Name a folder that `mendline evaluate --benchmark ... --out FOLDER` wrote.",
            ) from error
    for board in found.values():
        board.entries.sort(key=lambda entry: -_estimate(entry, OVERALL))
    return sorted(found.values(), key=lambda board: -len(board.entries))


def _enter(
    found: dict[tuple[str, ...], Board], name: str, summary: Mapping[str, Any], reading: str
) -> None:
    who = summary["provenance"]
    key = tuple(who[f"{what}_digest"] for what in ("judge", "consistency", "benchmark"))
    about = (summary["score_name"], who["judge"], who["consistency"], who["benchmark"])
    scores = {task: values[reading] for task, values in summary["tasks"].items()}
    found.setdefault(key, Board(*about)).entries.append(Entry(name, scores))


def _estimate(entry: Entry, task: str) -> float:
    """Below all others where there is none."""
    value = entry.scores.get(task, {}).get("estimate")
    return float("-inf") if value is None else float(value)


def _versions(registry: Registry) -> list[tuple[str, dict[str, Any]]]:
    aliases = registry.aliases()
    found = []
    for version in registry.versions():
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = registry.client.download_artifacts(
                    version.run_id, f"{EVALUATION}/summary.json", folder
                )
            except (MlflowException, OSError):
                continue  # a version that was not registered by us has no scores
            summary = json.loads(Path(path).read_text("utf-8"))
        names = sorted(alias for alias, number in aliases.items() if number == version.number)
        title = f"version {version.number}" + "".join(f" @{name}" for name in names)
        found.append((title, summary))
    return found


def board_table(board: Board, reading: str) -> Table:
    """The board for the terminal; the best of each task is bold."""
    table = Table(
        title=escape(f"{board.score_name} ({reading}) on {board.benchmark}"),
        caption=escape(f"judge {board.judge}, distance {board.consistency}")
        + ("" if board.score_name == "fs" else "; a proxy: not comparable with published FS"),
    )
    tasks = [t.value for t in Degradation if any(t.value in e.scores for e in board.entries)]
    table.add_column("model")
    for task in [*tasks, "all"]:
        table.add_column(task, justify="right")
    for entry in board.entries:
        cells = []
        for task in [*tasks, OVERALL]:
            value = entry.scores.get(task, {}).get("estimate")
            best = max(_estimate(e, task) for e in board.entries)
            text = "-" if value is None else f"{value:.3f}"
            cells.append(f"[bold]{text}[/bold]" if value == best else text)
        table.add_row(escape(entry.name), *cells)
    return table
