"""`mendline demo`: one command from photos on a web server to a gated model."""

import signal
import sys
import time
from pathlib import Path
from types import FrameType

import click


@click.command(help="Run the whole way on a small web of photos, or on your own.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Photos of your own instead of the web."
)
@click.option(
    "--urls",
    type=click.Path(path_type=Path),
    help="A list of image URLs (txt, csv, jsonl, Parquet).",
)
@click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="The folder of the work tree; it is made, and used again.",
)
@click.option("--profile", default="embedded", show_default=True, help="Settings to run with.")
def demo(folder: Path | None, urls: Path | None, workspace: Path, profile: str) -> None:
    """Everything a first look needs; run it again and it uses what is there."""
    from flows.demo import Source, prepare
    from flows.environment import check_server
    from flows.environment import prepare as prepare_environment

    started = time.monotonic()
    source = Source(urls, folder)
    tree = prepare(workspace, source, profile)
    prepare_environment(tree.root, quiet=True)
    check_server()
    signal.signal(signal.SIGTERM, _leave)

    from flows.cli.steps import Steps
    from flows.demo import run
    from flows.listening import listening
    from flows.showing import show

    try:
        with Steps() as steps, listening(steps.hear):
            steps.hear("start", "")
            result = run(tree, source)
    except KeyboardInterrupt:
        click.echo(
            "\nInterrupted. Run the same command again: it continues where it was.", err=True
        )
        sys.exit(130)
    show(tree, result, time.monotonic() - started)


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
