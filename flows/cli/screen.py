"""`mendline screen`: which of one's own images carries which degradation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pyarrow as pa

from catalog import schemas
from catalog.images import VERSION
from catalog.layout import Layout
from flows.cli.out import OUT_FILE, OUT_TABLE
from flows.cli.unfinished import Kept, key, unfinished

if TYPE_CHECKING:
    from curation.screen.screener import Screener
    from flows.cli.folders import Picture

COLUMNS = pa.schema([pa.field("path", pa.string()), *schemas.SCREENING])


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=OUT_TABLE, help="Parquet table.")
@click.option("--sheet", type=OUT_FILE, help="Contact sheet (HTML).")
@click.option("--explain", is_flag=True, help="Print every score and the rule that decided.")
def screen(folder: Path, out: Path | None, sheet: Path | None, explain: bool) -> None:
    """Screen the images below FOLDER: degraded, clean, or to be dropped, and why.

    A row a file: path, degradation, confidence, severity (1 extreme .. 5 none), watermark
    (probability), verdict (degraded, clean, drop), reason, further degradations and all scores.
    Settings are those of params.yaml in the current folder, or the defaults. Without --out the
    verdicts are printed, with what decided: the presence of the strongest degradation (1 .. 5 as a
    severity), for traces its severity. FOLDER may be a single image.

    Interrupted or killed, the same command goes on where it was; what it has so far is beside the
    table (or the sheet) until that is whole.
    """
    from catalog.batches import batches
    from catalog.progress import track
    from catalog.settings import load_params
    from catalog.settings.screen import Screen
    from catalog.tables import write_table
    from curation.screen.rules import explanation
    from curation.screen.screener import Screener, refused_row
    from curation.screen.sheet import ContactSheet
    from curation.screen.stage import count
    from flows.cli.folders import image_files, label_in, no_image_in, pictures

    files = image_files(folder)
    place = Layout(Path.cwd()).params
    settings = load_params(place).screen if place.is_file() else Screen.model_validate({})
    contact = ContactSheet()
    tables = [COLUMNS.empty_table()]
    with unfinished(out or sheet) as kept:
        screener = Screener(settings)
        depends = ("screen/1", VERSION, screener.digest, settings.model_dump_json())

        def needed(image: str) -> bool:
            row = kept.get(key(image, *depends))
            return row is None or (sheet is not None and contact.shows(row))

        for batch in batches(pictures(track(files, "screen"), needed), settings.batch_size):
            found = _screened(screener, batch, kept, depends)
            rows: list[dict[str, Any]] = []
            for one in batch:
                row: dict[str, Any] = {"path": label_in(one.path, folder)}
                rows.append(row)
                if one.refused:
                    row |= refused_row(one.refused.reason)
                    click.echo(f"{row['path']}: {one.refused.what}", err=True)
                else:
                    row |= {"image_id": one.image_id, **found[one.image_id]}
                    if explain:
                        click.echo("\n".join(explanation(row["path"], row, settings)))
                if out is None:
                    click.echo(_verdict(row))
                if sheet:
                    contact.add(row["path"], one.image, row)
            # A row's scores are many times as large as a dict than in a table.
            tables.append(pa.Table.from_pylist(rows, schema=COLUMNS))
        # One piece, whatever the batches were: the same rows give the same bytes.
        table = pa.concat_tables(tables).combine_chunks()
        if sheet:
            contact.write(sheet)
        if out is not None:
            write_table(out, table, COLUMNS)
    counts = count(table)
    said = ", ".join(f"{n} {name}" for name, n in counts.extra["degraded"].items()) or "none"
    drops = ", ".join(f"{n} {reason}" for reason, n in sorted(counts.dropped.items())) or "none"
    click.echo(
        f"{len(table)} images: degraded {said}; {counts.extra['clean']} clean; dropped {drops}."
        + (f" Table: {out}" if out else "")
    )
    if not any(table["image_id"].to_pylist()):
        raise no_image_in(folder, len(files))


def _screened(
    screener: "Screener", batch: Sequence["Picture"], kept: Kept, depends: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Image id -> its row; what was screened before is not screened again."""
    from curation.screen.rules import is_final

    known = {
        one.image_id: kept.get(key(one.image_id, *depends)) for one in batch if not one.refused
    }
    found = {image: row for image, row in known.items() if row is not None}
    new = {one.image_id: one.image for one in batch if one.image_id in known.keys() - found.keys()}
    fresh = dict(zip(new, screener.rows([i for i in new.values() if i is not None]), strict=True))
    # A judge that was away is asked again by the next run.
    sure = {image: row for image, row in fresh.items() if is_final(row, screener.settings)}
    kept.put({key(image, *depends): row for image, row in sure.items()})
    return found | fresh


def _verdict(row: Mapping[str, Any]) -> str:
    from curation.screen.rules import what_decided

    said = what_decided(row)
    return f"{row['path']}  {row['verdict']} ({row['reason']})" + (f"  {said}" if said else "")
