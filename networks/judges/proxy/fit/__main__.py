"""`python -m networks.judges.proxy.fit samples|heads`."""

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click

from catalog.progress import track

PATH = click.Path(path_type=Path)


@click.group()
def fit() -> None:
    """Train proxy-judge."""


@fit.command()
@click.option("--photos", type=PATH, required=True, help="Folder of unpacked Debian packages.")
@click.option("--out", type=PATH, required=True, help="Folder of the samples.")
@click.option("--first", default=0, help="First round.")
@click.option("--rounds", default=8, help="Each makes twelve samples of each photo.")
@click.option("--processes", default=os.cpu_count() or 1)
def samples(photos: Path, out: Path, first: int, rounds: int, processes: int) -> None:
    """Degrade the photos of photos.json; a run that was cut off goes on."""
    from networks.judges.proxy.fit.photos import all_photos
    from networks.judges.proxy.fit.samples import write_round

    out.mkdir(parents=True, exist_ok=True)
    tasks = [
        (photo, number)
        for number in range(first, first + rounds)
        for photo in range(len(all_photos()))
    ]
    with ProcessPoolExecutor(processes) as pool:
        work = partial(write_round, out, photos)
        for _ in track(pool.map(work, *zip(*tasks, strict=True)), "samples", total=len(tasks)):
            pass


if __name__ == "__main__":
    fit()
