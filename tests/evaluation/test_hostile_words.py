"""Words of people and of other programs in the tables: shown as they are, never as markup."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import Params
from evaluation.registry import decisions
from evaluation.registry.leaderboard import board_table, boards
from evaluation.registry.listing import decided_table, waiting_table
from evaluation.registry.store import Registry
from tests.evaluation.registering import bare_version


def shown(table: object) -> Console:
    console = Console(record=True, width=300)
    console.print(table)
    return console


def test_a_reason_with_brackets_is_shown_and_does_not_break_the_record(
    layout: Layout, params: Params, registry: Registry
) -> None:
    version = bare_version(registry)
    reason = "halos [around] lamps, see [/tmp/look] and [link=javascript:alert(1)]this"
    decisions.reject(layout, params, version, "Ada [/b]", reason)
    text = shown(decided_table(layout, params)).export_text()
    assert reason in text
    assert "Ada [/b]" in text
    registry.tag(version, state="gated", verdict="[/red]promote", report_path="[/a]")
    assert "[/red]promote" in shown(waiting_table(layout, params)).export_text()


def summary(folder: Path, name: str, **estimates: float | None) -> Path:
    place = folder / name
    place.mkdir()
    none = {"estimate": None, "low": None, "high": None, "n": 0}
    parts = ("judge", "consistency", "benchmark")
    who = dict.fromkeys([*parts, *(f"{part}_digest" for part in parts)], "x")
    tasks = {task: {"paper": none | {"estimate": value}} for task, value in estimates.items()}
    content = {"score_name": "proxy_fs", "provenance": who, "tasks": tasks}
    (place / "summary.json").write_text(json.dumps(content))
    return place


def test_a_foreign_summary_puts_no_markup_into_the_leaderboards_page(
    registry: Registry, tmp_path: Path
) -> None:
    evil = '[link="><script>alert(1)<·script>]x[·link]'
    place = summary(tmp_path, evil, overall=0.1)
    content = json.loads((place / "summary.json").read_text())
    content["provenance"]["judge"] = content["provenance"]["benchmark"] = evil.replace("·", "/")
    (place / "summary.json").write_text(json.dumps(content))
    (board,) = boards(registry, [place])
    page = shown(board_table(board, "paper")).export_html()
    assert "<script>" not in page
    assert "<a " not in page


def test_the_best_of_a_task_is_bold_and_no_score_comes_last(
    registry: Registry, tmp_path: Path
) -> None:
    harmful = summary(tmp_path, "harmful", overall=-0.1, rain=-0.2)
    nothing = summary(tmp_path, "nothing", overall=0.0, rain=0.0)
    unknown = summary(tmp_path, "unknown", overall=None, rain=None)
    (board,) = boards(registry, [unknown, harmful, nothing])
    assert [entry.name for entry in board.entries] == ["nothing", "harmful", "unknown"]
    table = board_table(board, "paper")
    cells = [list(column.cells) for column in table.columns]
    assert cells[1:] == [
        ["[bold]0.000[/bold]", "-0.200", "-"],
        ["[bold]0.000[/bold]", "-0.100", "-"],
    ]


@pytest.mark.parametrize("content", ["[]", '{"images": []}', '{"provenance": {}, "tasks": {}}'])
def test_another_json_file_is_no_evaluation(
    registry: Registry, tmp_path: Path, content: str
) -> None:
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(UserError, match="no summary of an evaluation"):
        boards(registry, [tmp_path])
