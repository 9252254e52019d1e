"""`mendline screen`: which of one's own images carries which degradation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from catalog import schemas
from catalog.layout import Layout
from flows.cli.out import OUT_FILE

COLUMNS = pa.schema([pa.field("path", pa.string()), *schemas.SCREENING])


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=OUT_FILE, help="Parquet table.")
@click.option("--sheet", type=OUT_FILE, help="Contact sheet (HTML).")
@click.option("--explain", is_flag=True, help="Print every score and the rule that decided.")
def screen(folder: Path, out: Path | None, sheet: Path | None, explain: bool) -> None:
    """Screen the images below FOLDER: degraded, clean, or to be dropped, and why.

    A row a file: path, degradation, confidence, severity (1 extreme .. 5 none), watermark
    (probability), verdict (degraded, clean, drop), reason, further degradations and all scores.
    Settings are those of params.yaml in the current folder, or the defaults. Without --out the
    verdicts are printed. FOLDER may be a single image.
    """
    from catalog.batches import batches
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
    tables = [COLUMNS.empty_table()]
    for batch in batches(pictures(track(files, "screen")), settings.batch_size):
        images = [one.image for one in batch if one.image is not None]
        screened = iter(screener.rows(images))
        rows: list[dict[str, Any]] = []
        for one in batch:
            row: dict[str, Any] = {"path": label_in(one.path, folder)}
            rows.append(row)
            if one.refused:
                row |= refused_row(one.refused.reason)
                click.echo(f"{row['path']}: {one.refused.what}", err=True)
            else:
                row |= {"image_id": image_id(one.data), **next(screened)}
                if explain:
                    click.echo("\n".join(explanation(row["path"], row, settings)))
            if out is None:
                click.echo(_verdict(row))
            if sheet:
                contact.add(row["path"], one.image, row)
        # A row's scores are many times as large as a dict than in a table.
        tables.append(pa.Table.from_pylist(rows, schema=COLUMNS))
    if sheet:
        contact.write(sheet)
    table = pa.concat_tables(tables)
    if out is not None:
        write_table(out, table, COLUMNS)
    counts = count(table)
    said = ", ".join(f"{n} {name}" for name, n in counts.extra["degraded"].items()) or "none"
    drops = ", ".join(f"{n} {reason}" for reason, n in sorted(counts.dropped.items())) or "none"
    click.echo(
        f"{len(table)} images: degraded {said}; {counts.extra['clean']} clean; dropped {drops}."
        + (f" Table: {out}" if out else "")
    )


def _verdict(row: Mapping[str, Any]) -> str:
    said = f"{row['path']}  {row['verdict']} ({row['reason']})"
    if row.get("degradation"):
        said += f"  {row['degradation']}"
    # Where prompts decide, the judge is not asked about what they do not name.
    return said if row.get("severity") is None else f"{said} {row['severity']:.1f}"
