"""`mendline collect` and `mendline takedown`."""

import sys
from pathlib import Path
from typing import Any

import click

from catalog.errors import UserError


@click.command()
@click.option(
    "--urls",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A list of URLs: txt, csv, tsv, jsonl or Parquet. May be given several times.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A folder of images. May be given several times.",
)
@click.option(
    "--search",
    type=click.Choice(["openverse", "wikimedia", "pexels"]),
    multiple=True,
    help="Search an API for the phrases of collect.search in params.yaml.",
)
@click.option(
    "--degradation", multiple=True, help="Search for this degradation only. May be repeated."
)
@click.option(
    "--warc", type=click.Path(path_type=Path), multiple=True, help="A WARC file, plain or gzipped."
)
@click.option("--retry-failed", is_flag=True, help="Only what failed before and may pass now.")
@click.option("--revisit", is_flag=True, help="Also fetch again what is there: what changed?")
def collect(
    urls: tuple[Path, ...],
    folder: tuple[Path, ...],
    search: tuple[str, ...],
    degradation: tuple[str, ...],
    warc: tuple[Path, ...],
    retry_failed: bool,
    revisit: bool,
) -> None:
    """Fetch images into a snapshot of shards below data/raw.

    Interrupted or killed, the same command goes on where it was. Run again after it is complete,
    it fetches only what is new. Settings are below `collect` in params.yaml.
    """
    from catalog.layout import Layout
    from catalog.settings import load_params
    from curation.collect.run import collect as run
    from curation.collect.sources import PagedSource, Source
    from curation.collect.sources.failed import FailedEarlier
    from curation.collect.sources.folder import Folder
    from curation.collect.sources.search import search_source
    from curation.collect.sources.url_list import UrlList
    from curation.collect.sources.warc import Warc

    layout = Layout(Path.cwd())
    settings = load_params(layout.params).collect
    sources: list[Source | PagedSource] = [UrlList(path, settings.columns) for path in urls]
    sources += [Folder(path, layout.root) for path in folder]
    sources += [Warc(path, settings) for path in warc]
    sources += [search_source(name, degradation, settings) for name in search]
    if not sources and retry_failed:
        sources.append(FailedEarlier(layout.raw))
    if not sources:
        raise UserError(
            "There is nothing to collect.",
            "Give --urls FILE, --folder DIR, --warc FILE, --search NAME or --retry-failed.",
        )
    try:
        summary = run(sources, layout, settings, retry_failed=retry_failed, revisit=revisit)
    except KeyboardInterrupt:
        click.echo("\nInterrupted; the same command goes on where it was.", err=True)
        sys.exit(130)
    _print(summary, retry_failed, archives=len(warc), others=len(sources) - len(warc))


def _print(summary: "object", retry_failed: bool, archives: int, others: int) -> None:
    """Print what came of a collection from so many WARC files and so many other sources."""
    from rich.console import Console
    from rich.table import Table

    from curation.collect.plan import ARCHIVED
    from curation.collect.run import Summary

    assert isinstance(summary, Summary)
    console = Console()
    if summary.tried:
        table = Table("outcome", "URLs", title="collected")
        table.columns[1].justify = "right"
        for slug, count in sorted(summary.outcomes.items(), key=lambda pair: -pair[1]):
            table.add_row(slug, f"{count:,}")
        console.print(table)
    elif retry_failed and ARCHIVED not in summary.skipped:
        console.print(
            "Nothing to try again: no snapshot has one of the URLs as a failure that may pass. "
            "A collection that made no snapshot is tried anew by its own command.",
            soft_wrap=True,
        )
    elif ARCHIVED not in summary.skipped:
        console.print("Nothing new: every URL has been dealt with in an earlier snapshot.")
    for reason, count in summary.skipped.items():
        console.print(f"not tried, {reason}: {count:,}")
    if summary.folder is not None:
        rate = summary.tried / max(summary.seconds, 1e-6)
        console.print(
            f"{summary.stored:,} new images, {summary.stored_bytes / 1e6:,.1f} MB, in "
            f"{summary.seconds:.1f} s ({rate:.1f} URLs/s)\n{summary.folder}",
            soft_wrap=True,
        )
    may_pass = summary.retryable or summary.skipped.get("failed-earlier-may-pass")
    if may_pass and others:
        console.print("Some failures may pass: `mendline collect --retry-failed` tries them again.")
    if (may_pass and archives) or ARCHIVED in summary.skipped:
        console.print(
            "Records of an archive that may pass are read again with its file only: "
            "`mendline collect --warc FILE --retry-failed`.",
            soft_wrap=True,
        )


@click.command()
@click.argument("what")
@click.option("--reason", required=True, help="Why, for the record.")
def takedown(what: str, reason: str) -> None:
    """Block WHAT (a URL, an image id or an image file) so that it cannot come back."""
    from catalog.layout import Layout
    from catalog.settings import load_params
    from curation.collect.takedown import SearchFailed, take_down

    layout = Layout(Path.cwd())
    load_params(layout.params)  # a blocklist outside a work tree blocks nothing
    try:
        done = take_down(what, reason, layout)
    except SearchFailed:
        _flag(layout)  # what it does name is on the blocklist
        raise
    click.echo(f"{done.added} entries added to {done.blocklist}.")
    for image_id in done.image_ids:
        click.echo(f"image {image_id}")
    if not done.found:
        click.echo("No collected image matches; the entry stops it from being collected.")
    _flag(layout)


def _flag(layout: Any) -> None:
    """Say which registered models learned from it; a takedown holds without a registry too."""
    import os

    from catalog.errors import UserError
    from catalog.settings import load_params

    registered = layout.mlflow_database.exists() or os.environ.get("MLFLOW_TRACKING_URI")
    if not registered:
        return
    from evaluation.registry.flagging import flag_versions

    try:
        found = flag_versions(layout, load_params(layout.params))
    except UserError as error:
        click.echo(f"Models could not be flagged: {error.what}", err=True)
        return
    for version, ids in found.items():
        click.echo(f"Version {version} learned from {len(ids)} taken-down image(s): flagged.")
