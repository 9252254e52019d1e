"""`register`, `review`, `approve`, `reject`, `rollback`: a person's part of a promotion."""

import getpass
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.layout import Layout
from catalog.settings import load_params
from flows.cli.out import OUT_FILE

if TYPE_CHECKING:
    from rich.console import Console

_WHOLE_BOARD = 125
"""Columns of a leaderboard of nine tasks: narrower, Rich cuts the figures."""

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Leaderboard</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{stylesheet} body {{ color: {foreground}; background: {background} }}
pre {{ overflow-x: auto; font: 15px 'DejaVu Sans Mono', Menlo, Consolas, monospace }}
code {{ font: inherit }}</style></head><body><pre><code>{code}</code></pre></body></html>
"""
"""Rich's own page is shrunk to a third on a telephone."""


def _console(least: int = 0, record: bool = False) -> "Console":
    """The terminal, at least that wide; wide in a pipe or a file, where no window sets a limit."""
    from rich.console import Console

    console = Console(record=record)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        least = max(least, 200)
    return Console(record=record, width=least) if console.width < least else console


def _who(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    """The given name, or that of a person that Git knows, or the login."""
    from flows.workspace import NOBODY

    if value and value.strip():
        return value.strip()
    try:
        done = subprocess.run(
            ["git", "config", "user.name"], capture_output=True, text=True, timeout=10, check=False
        )
        name = done.stdout.strip()
    except OSError:
        name = ""
    # Work trees of before have it in their Git's settings.
    return name if name not in ("", NOBODY) else getpass.getuser()


_BY = click.option(
    "--by", metavar="NAME", callback=_who, help="Who decides; by default Git's user.name."
)


@click.command()
def register() -> None:
    """Register models/finetune with results/evaluation as the candidate, and gate it.

    It is what the refresh flow does after `dvc repro`, for those who ran that themselves. The same
    model, data and scores are registered once.
    """
    from evaluation.registry.register import register_candidate
    from flows.gating import run_gate

    layout = Layout(Path.cwd())
    params = load_params(layout.params)
    made = register_candidate(layout, params)
    found = run_gate(layout, params, made.version)
    before = "" if made.created else ", registered before"
    click.echo(f"Version {made.version}{before}: {found['verdict']} ({found['state']})")
    for reason in found["reasons"]:
        click.echo(f"  {reason}")
    click.echo(f"Report: {found['report']}")


@click.command()
@click.option(
    "--gate", "gated", metavar="VERSION", help="First put this version through the gate (again)."
)
@click.option("--all", "everything", is_flag=True, help="Also show what was decided.")
@click.option("--log", is_flag=True, help="Show the record of decisions instead.")
def review(gated: str | None, everything: bool, log: bool) -> None:
    """Show the versions that wait for a decision, and where their reports are."""
    from evaluation.registry.gating import gate_version
    from evaluation.registry.listing import decided_table, waiting_table

    layout = Layout(Path.cwd())
    params = load_params(layout.params)
    console = _console()
    if gated:
        found = gate_version(layout, params, gated)
        console.print(f"Version {found.version}: {found.verdict.verdict}", style="bold")
        for reason in found.verdict.reasons:
            console.print(f"  {reason}", highlight=False, markup=False)
    if log:
        console.print(decided_table(layout, params))
    else:
        table = waiting_table(layout, params, everything)
        console.print(table)
        if not table.row_count:
            what = "is registered" if everything else "waits for a decision"
            click.echo(f"No version {what}. `mendline register` enters the one in models/finetune.")


@click.command()
@click.argument("version")
@_BY
@click.option("--override", metavar="REASON", help="Approve against the verdict, for this reason.")
@click.option("--report", "read", metavar="SHA256", help="Hash of the report that was read.")
def approve(version: str, by: str, override: str | None, read: str | None) -> None:
    """Make VERSION the champion, if it is still what the gate saw."""
    from evaluation.registry import decisions

    layout = Layout(Path.cwd())
    record = decisions.approve(layout, load_params(layout.params), version, by, override, read)
    click.echo(
        f"Version {record.version} is the champion; previous is {record.previous_after}. "
        f"Entry {record.number} of the record, by {record.by}."
    )


@click.command()
@click.argument("version")
@_BY
@click.option("--reason", required=True, help="Why.")
def reject(version: str, by: str, reason: str) -> None:
    """Record that VERSION is not to be promoted."""
    from evaluation.registry import decisions

    layout = Layout(Path.cwd())
    record = decisions.reject(layout, load_params(layout.params), version, by, reason)
    click.echo(f"Version {record.version} is rejected. Entry {record.number}, by {record.by}.")


@click.command()
@_BY
@click.option("--reason", default="", help="Why.")
def rollback(by: str, reason: str) -> None:
    """Make the previous champion the champion again."""
    from evaluation.registry import decisions

    layout = Layout(Path.cwd())
    record = decisions.rollback(layout, load_params(layout.params), by, reason)
    click.echo(
        f"Version {record.champion_after} is the champion again, instead of "
        f"{record.champion_before}. Entry {record.number}, by {record.by}."
    )


@click.command()
@click.option(
    "--also",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder that `mendline evaluate --benchmark` wrote, such as a teacher's; repeatable.",
)
@click.option(
    "--reading",
    type=click.Choice(["released", "paper", "signed"]),
    default="paper",
    show_default=True,
)
@click.option("--out", type=OUT_FILE, help="Also write it as an HTML page.")
def leaderboard(also: tuple[Path, ...], reading: str, out: Path | None) -> None:
    """Show the registered versions, and teachers, by task."""
    from catalog.files import atomic_file
    from evaluation.registry.leaderboard import board_table, boards
    from evaluation.registry.store import connect

    layout = Layout(Path.cwd())
    registry = connect(layout, load_params(layout.params).gate.model_name)
    console = _console(_WHOLE_BOARD, record=out is not None)
    with registry.reachable():
        found = boards(registry, also, reading)
    if not found:
        click.echo("No version is registered yet.")
    for board in found:
        console.print(board_table(board, reading))
    if out is not None:
        with atomic_file(out) as temporary:
            temporary.write_text(console.export_html(code_format=_PAGE), "utf-8")
        click.echo(f"Written to {out}.")
