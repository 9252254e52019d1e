"""`mendline trace IMAGE_ID`: where an image came from, and who learned from it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catalog.layout import Layout

if TYPE_CHECKING:
    from flows.tracing import Trace

_MOST = 8


@click.command(
    help="Follow an image to the datasets and models that saw it: an id, its first digits (6 or "
    "more), or the URL as it was fetched."
)
@click.argument("image_id", metavar="IMAGE_ID_OR_URL")
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="The work tree (default: the current folder).",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def trace(image_id: str, workspace: Path, as_json: bool) -> None:
    """IMAGE_ID is an id, its first digits, or the URL as it was fetched."""
    from catalog.settings import load_params
    from flows.tracing import find_image
    from flows.tracing import trace as follow

    layout = Layout(workspace.resolve())
    load_params(layout.params)  # says that this is no work tree
    found = follow(layout, find_image(layout, image_id))
    if as_json:
        import dataclasses
        import json

        click.echo(json.dumps(dataclasses.asdict(found), indent=2, default=str))
        return
    _print(found)


def _print(found: "Trace") -> None:
    from rich.console import Console
    from rich.tree import Tree

    tree = Tree(f"[bold]image {found.image_id}", highlight=False)
    if found.blocked:
        tree.add("[red]taken down: it is on the blocklist")
    _branch(tree, "came from", found.fetched, _origin)
    _branch(tree, "stored in", found.stored, str)
    _branch(tree, "duplicates", found.duplicates, _duplicate)
    _branch(tree, "is in the benchmark", found.contamination, _contamination)
    _branch(tree, "screening", found.screening, _screening)
    _branch(tree, "targets", found.targets, _target)
    _branch(tree, "pairs", found.pairs, _pair)
    splits = sorted({row["split"] for row in found.dataset})
    if found.dataset:
        tree.add(f"[bold]dataset[/]: {len(found.dataset)} pairs, {' and '.join(splits)}")
    else:
        held = " (held out for evaluation)" if found.held_out else ""
        tree.add(f"[bold]dataset[/]: in none of its pairs{held}")
    _branch(tree, "model versions that learned from it", found.versions, _version)
    Console().print(tree)


def _branch(tree: Any, title: str, rows: list[Any], line: Any) -> None:
    from rich.markup import escape

    if not rows:
        return
    branch = tree.add(f"[bold]{title}")
    for row in rows[:_MOST]:
        branch.add(escape(line(row)))
    if len(rows) > _MOST:
        branch.add(f"and {len(rows) - _MOST} more (--json lists them)")


def _origin(row: dict[str, Any]) -> str:
    terms = ", ".join(str(row[name]) for name in ("license", "creator") if row[name])
    page = f" on {row['source_page']}" if row["source_page"] else ""
    return f"{row['url']}{page} ({terms or 'no licence known'}), {row['snapshot']}"


def _duplicate(row: dict[str, Any]) -> str:
    if row["keeper"]:
        return "keeper of its group"
    reason = f" by {row['reason']} ({row['similarity']:.3f})" if row["reason"] else ""
    return f"{row['relation']} of {row['group'][:12]}{reason}"


def _contamination(row: dict[str, Any]) -> str:
    return f"{row['benchmark_name']} by {row['reason']} ({row['similarity']:.3f})"


def _screening(row: dict[str, Any]) -> str:
    if row["degradation"] is None or row["severity"] is None:
        return f"{row['verdict']}: {row['reason']}"
    return (
        f"{row['verdict']}: {row['reason']}; {row['degradation']} "
        f"severity {row['severity']:.1f}, confidence {row['confidence']:.2f}"
    )


def _target(row: dict[str, Any]) -> str:
    made = f" -> {row['clean_id'][:12]}" if row["clean_id"] else f": {row['detail'] or ''}"
    return f"{row['degradation']}: {row['outcome']} by {row['teacher']}{made}"


def _pair(row: dict[str, Any]) -> str:
    return (
        f"{row['pair_id'][:12]} {row['origin']} {row['degradation']}, {row['how']}: "
        f"{row['verdict']}{', ' + row['reason'] if row['reason'] else ''}"
    )


def _version(row: dict[str, Any]) -> str:
    alias = f" @{' @'.join(row['aliases'])}" if row["aliases"] else ""
    return f"version {row['version']}{alias}: {row['pairs']} pairs of dataset {row['dataset'][:20]}"
