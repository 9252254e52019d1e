"""`python -m networks.judges.proxy.fit samples|heads`."""

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.progress import track

if TYPE_CHECKING:
    from catalog.degradations import Degradation
    from networks.judges.proxy.fit.heads import Data
    from networks.judges.proxy.head import Head

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
@click.option("--photos", type=PATH, required=True, help="Folder of unpacked Debian packages.")
@click.option("--out", type=PATH, required=True, help="Folder of the measures.")
@click.option("--processes", default=os.cpu_count() or 1)
def ladder(photos: Path, out: Path, processes: int) -> None:
    """Measure single degradations of many photos; a run that was cut off goes on."""
    from networks.judges.proxy.fit.ladder import measure_source, used

    out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes) as pool:
        work = partial(measure_source, out, photos)
        for _ in track(pool.map(work, used()), "ladder", total=len(used())):
            pass


@fit.command()
@click.option("--samples", "folder", type=PATH, help="Folder of the samples.")
@click.option("--table", type=PATH, help="Parquet of their measures; made when absent.")
@click.option("--ladder", "steps", type=PATH, help="Folder of the ladder's measures.")
@click.option("--processes", default=os.cpu_count() or 1)
def heads(folder: Path | None, table: Path | None, steps: Path | None, processes: int) -> None:
    """Fit the heads, write the weights and print their SHA-256.

    Heads whose data are not given stay as they are. What is printed first comes from heads that
    never saw the held-out photos; the shipped ones are then fitted to all.
    """
    from catalog.degradations import Degradation
    from networks.judges.proxy.fit.heads import measure_samples, read_data, read_ladder
    from networks.judges.proxy.fit.recipe import FROM_LADDER
    from networks.judges.proxy.head import PLACE, load_heads, write_heads

    fitted = dict(load_heads())
    if table is not None:
        if not table.is_file():
            if folder is None:
                raise click.UsageError("--table is not there yet: give --samples too.")
            measure_samples(folder, table, processes)
        data = read_data(table)
        fitted |= {d: _fit(data, d) for d in Degradation if d not in FROM_LADDER}
    if steps is not None:
        data = read_ladder(steps)
        fitted |= {d: _fit(data, d) for d in FROM_LADDER}
    click.echo(f"{PLACE.name} SHA-256 {write_heads(fitted, PLACE)}")


def _fit(data: "Data", degradation: "Degradation") -> "Head":
    """Say how well the head does on photos it was not fitted to, and fit it to all."""
    import numpy as np
    from scipy.stats import spearmanr

    from networks.judges.proxy.fit.heads import fit_head

    held = data.held_out
    head = fit_head(data, ~held, degradation)
    score = head.score(data.matrix(head.names))
    own = held & (data.kinds == degradation.value)
    clean = held & (data.kinds == "clean")
    rank = spearmanr(-score[own], data.severities[degradation][own])[0]
    area = (score[own][:, None] > score[clean][None]).mean()
    click.echo(f"{degradation:12} held-out SRCC {rank:.2f}, AUC against clean {area:.2f}")
    return fit_head(data, np.ones(len(data), bool), degradation)


if __name__ == "__main__":
    fit()
