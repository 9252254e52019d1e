"""`python -m networks.changes.fit scenes|train`."""

from pathlib import Path

import click

from catalog.errors import said_plainly
from catalog.progress import track

PATH = click.Path(path_type=Path)


@click.group()
def fit() -> None:
    """Train the network of changes."""


@fit.command()
@click.option("--photos", type=PATH, required=True, help="Folder of unpacked Debian packages.")
@click.option("--out", type=PATH, required=True, help="Folder of the scenes.")
@click.option("--first", default=0, help="First round.")
@click.option(
    "--rounds", default=3, help="Each takes every photo under three degradations; v1 took three."
)
def scenes(photos: Path, out: Path, first: int, rounds: int) -> None:
    """Make the pairs and keep their maps; a run that was cut off goes on."""
    import cv2

    from networks.changes.fit.photos import load_photos
    from networks.changes.fit.store import write_scenes

    cv2.setNumThreads(1)
    out.mkdir(parents=True, exist_ok=True)
    loaded = load_photos(photos)
    tasks = [
        (number, index) for number in range(first, first + rounds) for index in range(len(loaded))
    ]
    for number, index in track(tasks, "scenes"):
        write_scenes(out, loaded, index, number)


@fit.command()
@click.option("--scenes", "folder", type=PATH, required=True, help="Folder of the scenes.")
@click.option("--work", type=PATH, required=True, help="Folder of the state.")
@click.option("--steps", default=None, type=int)
def train(folder: Path, work: Path, steps: int | None) -> None:
    """Fit, write the weights and print their SHA-256 and what the held-out photos give."""
    from dataclasses import replace

    from networks.changes.detector import PLACE, save
    from networks.changes.fit.store import read_scenes
    from networks.changes.fit.train import Plan, levels_of, report, train_net

    work.mkdir(parents=True, exist_ok=True)
    plan = Plan() if steps is None else replace(Plan(), steps=steps)
    seen, held = read_scenes(folder)
    net = train_net(seen, work, plan)
    levels = levels_of(net, held)
    for line in report(net, held, levels):
        click.echo(line)
    click.echo(f"{PLACE.name} SHA-256 {save(net, levels, PLACE)}")


if __name__ == "__main__":
    with said_plainly():
        fit()
