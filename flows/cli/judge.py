"""`mendline judge`: how strong a degradation is in one's own images."""

from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from catalog.degradations import Degradation
from flows.cli.out import OUT_FILE
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
@click.option("--out", type=OUT_FILE, help="Parquet table.")
@click.option("--judge", "name", default="proxy", show_default=True, help="Who judges.")
def judge(path: Path, degradations: tuple[str, ...], out: Path | None, name: str) -> None:
    """Judge the image PATH, or every image below the folder PATH.

    Severity is 1 (extreme) .. 5 (none). A row an image and degradation; an image that cannot be
    judged has no severity and the cause. Without --out the table is printed.
    """
    from catalog.batches import batches
    from catalog.progress import track
    from catalog.tables import write_table
    from flows.cli.folders import image_files, label_in, pictures
    from networks.judges import load_judge
    from networks.judges.answers import Silence, ask

    files = image_files(path)
    asked = [Degradation(value) for value in degradations] or list(Degradation)
    network = load_judge(name)
    silence = Silence(name, "--judge")
    rows: list[dict[str, Any]] = []
    for batch in batches(pictures(track(files, "judge")), BATCH):
        images = [one.image for one in batch if one.image is not None]
        answers = {}
        for degradation in asked:
            found = ask(network, images, degradation)
            silence.hear(images, found)
            answers[degradation] = iter(found)
        for one in batch:
            for degradation in asked:
                row = {"path": label_in(one.path, path), "judge": str(network.identity)}
                answer = (
                    Judgement(None, 0.0, one.refused.what)
                    if one.refused
                    else next(answers[degradation])
                )
                row |= {name: getattr(answer, name) for name in ANSWER}
                rows.append(row | {"degradation": degradation.value})
    if out is None:
        for row in rows:
            said = row.get("severity")
            value = f"{said:.2f}" if isinstance(said, float) else f"- ({row['failure']})"
            click.echo(f"{row['path']}  {row['degradation']:11} {value}")
        return
    write_table(out, rows, COLUMNS)
    failures = [row["failure"] for row in rows if row["severity"] is None]
    first = f" (the first: {failures[0]})" if failures else ""
    click.echo(
        f"{len(rows)} judgements of {len(files)} images, {len(failures)} failed{first}. "
        f"Table: {out}"
    )
