"""`mendline screen`: which of one's own images carries which degradation."""

from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from catalog import schemas
from catalog.layout import Layout
from flows.cli.out import writable

COLUMNS = pa.schema([pa.field("path", pa.string()), *schemas.SCREENING])


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=writable,
    help="Parquet table.",
)
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=writable,
    help="Contact sheet (HTML).",
)
@click.option("--explain", is_flag=True, help="Print every score and the rule that decided.")
def screen(folder: Path, out: Path | None, sheet: Path | None, explain: bool) -> None:
    """Screen the images below FOLDER: degraded, clean, or to be dropped, and why.

    A row a file: path, degradation, confidence, severity (1 extreme .. 5 none), watermark
    (probability), verdict (degraded, clean, drop), reason, further degradations and all scores.
    Settings are those of params.yaml in the current folder, or the defaults. Without --out the
    verdicts are printed. FOLDER may be a single image.
    """
    from catalog.images import image_id
    from catalog.progress import track
    from catalog.settings import load_params
    from catalog.settings.screen import Screen
    from catalog.tables import write_table
    from curation.screen.rules import explanation
    from curation.screen.screener import Screener, refused_row
    from curation.screen.sheet import ContactSheet
    from curation.screen.stage import count
    from flows.cli.folders import image_files, label_in, pictures

    files = image_files(folder)
    place = Layout(Path.cwd()).params
    settings = load_params(place).screen if place.is_file() else Screen.model_validate({})
    screener = Screener(settings)
    contact = ContactSheet()
    rows: list[dict[str, Any]] = []
    for batch in pictures(track(files, "screen"), settings.batch_size):
        images = [one.image for one in batch if one.image is not None]
        screened = iter(screener.rows(images))
        for one in batch:
            name = label_in(one.path, folder)
            if one.refused:
                rows.append({"path": name, **refused_row(one.refused.reason)})
                click.echo(f"{name}: {one.refused.what}", err=True)
            else:
                rows.append({"path": name, "image_id": image_id(one.data), **next(screened)})
                if explain:
                    click.echo("\n".join(explanation(name, rows[-1], settings)))
            if sheet:
                contact.add(name, one.image, rows[-1])
    if sheet:
        contact.write(sheet)
    if out is not None:
        table = write_table(out, rows, COLUMNS)
    else:
        table = pa.Table.from_pylist(rows, schema=COLUMNS)
        for row in rows:
            named = f"{row['degradation']} {row['severity']:.1f}" if row.get("degradation") else ""
            click.echo(f"{row['path']}  {row['verdict']} ({row['reason']})  {named}")
    counts = count(table)
    said = ", ".join(f"{n} {name}" for name, n in counts.extra["degraded"].items()) or "none"
    drops = ", ".join(f"{n} {reason}" for reason, n in sorted(counts.dropped.items())) or "none"
    click.echo(
        f"{len(rows)} images: degraded {said}; {counts.extra['clean']} clean; dropped {drops}."
        + (f" Table: {out}" if out else "")
    )
