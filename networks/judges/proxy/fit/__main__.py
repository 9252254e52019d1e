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
@click.option("--rounds", default=3, help="Each makes twelve samples of each photo; v1 took three.")
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


@fit.command()
@click.option("--samples", "folder", type=PATH, required=True, help="Folder of the samples.")
@click.option("--table", type=PATH, required=True, help="Parquet of measures; made when absent.")
@click.option("--processes", default=os.cpu_count() or 1)
def heads(folder: Path, table: Path, processes: int) -> None:
    """Measure the samples, fit the heads, write the weights and print their SHA-256.

    What is printed first comes from heads that never saw the held-out photos; the shipped ones are
    then fitted to all.
    """
    import numpy as np
    from scipy.stats import spearmanr

    from catalog.degradations import Degradation
    from networks.judges.proxy.fit.heads import fit_head, measure_samples, read_data
    from networks.judges.proxy.head import PLACE, write_heads

    if not table.is_file():
        measure_samples(folder, table, processes)
    data = read_data(table)
    held = data.held_out
    for degradation in Degradation:
        head = fit_head(data, ~held, degradation)
        score = head.score(data.matrix(head.names))
        own = held & (data.kinds == degradation.value)
        clean = held & (data.kinds == "clean")
        rank = spearmanr(-score[own], data.severities[degradation][own])[0]
        area = (score[own][:, None] > score[clean][None]).mean()
        click.echo(f"{degradation:12} held-out SRCC {rank:.2f}, AUC against clean {area:.2f}")
    everything = np.ones(len(data), bool)
    fitted = {d: fit_head(data, everything, d) for d in Degradation}
    click.echo(f"{PLACE.name} SHA-256 {write_heads(fitted, PLACE)}")


if __name__ == "__main__":
    fit()
