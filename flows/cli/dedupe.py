"""`mendline dedupe`: group the duplicates of a plain folder."""

from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.progress import track
from flows.cli.out import OUT_TABLE
from flows.cli.unfinished import unfinished

COLUMNS = pa.schema(
    [
        ("image_id", pa.string()),
        ("path", pa.string()),
        ("group", pa.string()),
        ("keeper", pa.bool_()),
        ("reason", pa.string()),
        ("similarity", pa.float32()),
        ("relation", pa.string()),
    ]
)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--out", required=True, type=OUT_TABLE, help="Parquet table.")
def dedupe(folder: Path, out: Path) -> None:
    """Group the images of FOLDER that are one photo.

    The table has a row a file: image_id, path, group (the id of the image to keep), keeper, reason
    (exact, perceptual or embedding), similarity (0..1 to the keeper) and relation (keeper, copy,
    or variant: the same photo in another state of degradation). Settings are those of params.yaml
    in the current folder, or the defaults.

    Interrupted or killed, the same command goes on where it was; the hashes that it has so far are
    beside the table until that is whole.
    """
    from catalog import schemas
    from catalog.settings import load_params
    from catalog.settings.curation import Deduplicate, Hash
    from catalog.tables import write_table
    from curation.deduplicate.benchmarks import find_images
    from curation.deduplicate.duplicates import find_matches, group, rows
    from curation.deduplicate.prints import make_prints
    from flows.cli.folders import label_in, no_image_in
    from flows.cli.hashed import hashed

    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}.", "Name a folder of images.")
    files = find_images(folder)
    if not files:
        raise UserError(f"There is no image in {folder}.", "Name a folder that holds image files.")
    place = Layout(Path.cwd()).params
    params = load_params(place) if place.is_file() else None
    hashing = params.hash if params else Hash()
    settings = params.deduplicate if params else Deduplicate()

    with unfinished(out) as kept:
        made: dict[str, dict[str, Any]] = {}
        keys: list[tuple[Path, str]] = []
        refused = 0
        found = hashed(files, hashing.thumbnail_side, kept)
        for path, row in zip(files, track(found, "hash", len(files)), strict=True):
            if "refused" in row:
                refused += 1
                click.echo(f"{path}: {row['refused']}", err=True)
                continue
            made.setdefault(row["image_id"], row)
            keys.append((path, row["image_id"]))

        if not keys:
            raise no_image_in(folder, len(files))

        def table(schema: pa.Schema) -> pa.Table:
            lines = [{k: v for k, v in row.items() if k in schema.names} for row in made.values()]
            return pa.Table.from_pylist(lines, schema=schema)

        prints = make_prints(table(schemas.HASHES), table(schemas.FINGERPRINTS))
        groups = group(prints, find_matches(prints, settings), settings)
        by_id = {row["image_id"]: row for row in rows(prints, groups, settings)}
        result = []
        first: set[str] = set()
        for path, key in keys:
            row = {**by_id[key], "path": label_in(path, folder)}
            if key in first:
                row |= {"keeper": False, "relation": "copy", "reason": "exact", "similarity": 1.0}
            first.add(key)
            result.append(row)
        write_table(out, result, COLUMNS)
    relations = [row["relation"] for row in result]
    click.echo(
        f"{len(result)} images in {len(groups)} groups: {relations.count('copy')} copies, "
        f"{relations.count('variant')} variants, {refused} files refused. Table: {out}"
    )
