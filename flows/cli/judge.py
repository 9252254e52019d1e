"""`mendline judge`: how strong a degradation is in one's own images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.compute as pc

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import VERSION
from flows.cli.out import OUT_TABLE
from flows.cli.unfinished import key, unfinished
from networks.interfaces import Judgement

COLUMNS = pa.schema(
    [
        ("path", pa.string()),
        ("degradation", pa.string()),
        ("severity", pa.float32()),
        ("confidence", pa.float32()),
        ("advisory", pa.bool_()),
        ("failure", pa.string()),
        ("judge", pa.string()),
    ]
)

ANSWER = ("severity", "confidence", "advisory", "failure")
BATCH = 16
"""Images that a judge is given at once: one on a server or a GPU takes them together."""


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--degradation",
    "-d",
    "degradations",
    multiple=True,
    type=click.Choice([d.value for d in Degradation]),
    help="May be given again; all nine by default.",
)
@click.option("--out", type=OUT_TABLE, help="Parquet table.")
@click.option("--judge", "name", default="proxy", show_default=True, help="Who judges.")
def judge(path: Path, degradations: tuple[str, ...], out: Path | None, name: str) -> None:
    """Judge the image PATH, or every image below the folder PATH.

    Severity is 1 (extreme) .. 5 (none). A row an image and degradation; an image that cannot be
    judged has no severity and the cause. Without --out the table is printed.

    Interrupted or killed, the same command goes on where it was; what it has so far is beside the
    table until that is whole.
    """
    from catalog.batches import batches
    from catalog.progress import track
    from catalog.tables import write_table
    from flows.cli.folders import image_files, label_in, no_image_in, pictures
    from networks.judges import load_judge
    from networks.judges.answers import Silence, ask

    files = image_files(path)
    asked = [Degradation(value) for value in dict.fromkeys(degradations)] or list(Degradation)
    tables = [COLUMNS.empty_table()]
    with unfinished(out) as kept:
        network = load_judge(name)
        silence = Silence(name, "--judge")

        def place(image: str, degradation: Degradation) -> str:
            return key("judge/1", VERSION, network.identity.digest, degradation, image)

        def needed(image: str) -> bool:
            return any(place(image, degradation) not in kept for degradation in asked)

        read = 0
        for batch in batches(pictures(track(files, "judge"), needed), BATCH):
            read += sum(one.refused is None for one in batch)
            images = {one.image_id: one.image for one in batch if one.image is not None}
            answers: dict[tuple[str, Degradation], dict[str, Any]] = {}
            for degradation in asked:
                new = {i: one for i, one in images.items() if place(i, degradation) not in kept}
                found = ask(network, list(new.values()), degradation)
                said = {image: _said(one) for image, one in zip(new, found, strict=True)}
                answers |= {(image, degradation): one for image, one in said.items()}
                # What failed is asked again by the next run.
                sure = {i: one for i, one in said.items() if one["severity"] is not None}
                kept.put({place(image, degradation): one for image, one in sure.items()})
                silence.hear(list(new.values()), found)
            rows = [
                {
                    "path": label_in(one.path, path),
                    "degradation": degradation.value,
                    "judge": str(network.identity),
                    **(
                        _said(Judgement(None, 0.0, one.refused.what))
                        if one.refused
                        else answers.get((one.image_id, degradation))
                        or kept.get(place(one.image_id, degradation))
                    ),
                }
                for one in batch
                for degradation in asked
            ]
            if out is None:
                _print(rows)
            tables.append(pa.Table.from_pylist(rows, schema=COLUMNS))
        # One piece, whatever the batches were: the same rows give the same bytes.
        table = pa.concat_tables(tables).combine_chunks()
        if out is not None:
            write_table(out, table, COLUMNS)
    failures = table.filter(pc.is_null(table["severity"]))["failure"].to_pylist()
    first = f" (the first: {failures[0]})" if failures else ""
    if out is not None:
        click.echo(
            f"{len(table)} judgements of {len(files)} images, {len(failures)} failed{first}. "
            f"Table: {out}"
        )
    if not read:
        raise no_image_in(path, len(files))
    if len(failures) == len(table):
        raise UserError(
            f"The judge {name} answered none of {len(table)} questions{first}.",
            "See that it runs and that --judge names it; then run the same command again.",
        )


def _said(answer: Judgement) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in ANSWER}


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        said = row["severity"]
        value = f"- ({row['failure']})" if said is None else f"{said:.2f}"
        click.echo(f"{row['path']}  {row['degradation']:11} {value}")
