"""`python -m networks.judges.proxy.fit samples|ladder|heads|pack|network|glass|said|within`."""

import hashlib
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catalog.alone import alone
from catalog.errors import said_plainly
from catalog.progress import track
from catalog.threads import cores
from networks.fitting.machine import machine_options
from networks.fitting.state import earlier_options

if TYPE_CHECKING:
    from catalog.degradations import Degradation
    from networks.judges.proxy.fit.heads import Data
    from networks.judges.proxy.fit.said import Hashes
    from networks.judges.proxy.head import Head

PATH = click.Path(path_type=Path)
processes_option = click.option(
    # click takes what a function returns for text where no type is named.
    "--processes",
    type=click.IntRange(min=1),
    default=cores,
    help="As many as there are cores.",
)


@click.group()
def fit() -> None:
    """Train proxy-judge."""


@fit.command()
@click.option("--photos", type=PATH, required=True, help="Folder of unpacked Debian packages.")
@click.option("--out", type=PATH, required=True, help="Folder of the samples.")
@click.option("--first", default=0, help="First round.")
@click.option("--rounds", default=3, help="Each makes twelve samples of each photo; v1 took three.")
@processes_option
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
@processes_option
def ladder(photos: Path, out: Path, processes: int) -> None:
    """Measure single degradations of many photos; a run that was cut off goes on."""
    from networks.judges.proxy.fit.ladder import SOURCES, measure_source

    out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes) as pool:
        work = partial(measure_source, out, photos)
        for _ in track(pool.map(work, range(SOURCES)), "ladder", total=SOURCES):
            pass


@fit.command()
@click.option("--samples", "folder", type=PATH, help="Folder of the samples.")
@click.option("--table", type=PATH, help="Parquet of their measures; made when absent.")
@click.option("--ladder", "steps", type=PATH, help="Folder of the ladder's measures.")
@processes_option
def heads(folder: Path | None, table: Path | None, steps: Path | None, processes: int) -> None:
    """Fit the heads, write the weights and print their SHA-256.

    Heads whose data are not given stay as they are. What is printed first comes from heads that
    never saw the held-out photos; the shipped ones are then fitted to all.
    """
    from catalog.degradations import Degradation
    from networks.judges.proxy.fit.heads import measure_samples, read_data, read_ladder
    from networks.judges.proxy.fit.recipe import FROM_LADDER
    from networks.judges.proxy.head import PLACE, hashes, parse, write_heads

    fitted = parse(PLACE.read_bytes())
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
    click.echo(f"{PLACE.name} SHA-256 {write_heads(fitted, hashes(), PLACE)}")


@fit.command()
@click.option("--photos", type=PATH, required=True, help="Folder of unpacked Debian packages.")
@click.option("--out", type=PATH, required=True, help="Folder of the pack, 50 MB.")
def pack(photos: Path, out: Path) -> None:
    """Write what the networks are trained on, to be carried to a machine with a GPU."""
    from networks.judges.proxy.fit.packed import pack as write

    write(photos, out)


@fit.command()
@click.option("--pack", "folder", type=PATH, required=True, help="Folder that `pack` wrote.")
@click.option("--work", type=PATH, required=True, help="Folder of the state.")
@click.option("--steps", type=int, help="A run that is cut off goes on with the same.")
@earlier_options
@machine_options
def network(
    folder: Path,
    work: Path,
    steps: int | None,
    earlier: Path | None,
    earlier_share: float,
    **machine: Any,
) -> None:
    """Train the network (or go on), write its weights and print their SHA-256."""
    from networks.fitting.machine import Machine
    from networks.fitting.state import averaged, write_network
    from networks.judges.proxy.fit.packed import unpack
    from networks.judges.proxy.fit.scenes import Maker
    from networks.judges.proxy.fit.train import Plan, train
    from networks.judges.proxy.network import PLACE

    plan = Plan(steps=steps) if steps else Plan()
    with alone(work, f"Another training is running in {work}."):
        net = train(Maker(*unpack(folder)), work, plan, Machine(**machine))
    digest = write_network(averaged(net, earlier, earlier_share), PLACE)
    click.echo(f"{PLACE.name} SHA-256 {digest}")


@fit.command()
@click.option("--pack", "folder", type=PATH, required=True, help="Folder that `pack` wrote.")
@click.option("--work", type=PATH, required=True, help="Folder of the state.")
@click.option("--steps", type=int, help="A run that is cut off goes on with the same.")
@machine_options
def glass(folder: Path, work: Path, steps: int | None, **machine: Any) -> None:
    """Train the network of reflections (or go on), write its weights and print their SHA-256.

    On two cores a step takes about two and a half seconds.
    """
    from networks.fitting.machine import Machine
    from networks.fitting.state import write_network
    from networks.judges.proxy.fit.glass import SHARES, Plan, train
    from networks.judges.proxy.fit.packed import unpack
    from networks.judges.proxy.fit.scenes import Maker
    from networks.judges.proxy.glass import PLACE, STEM

    plan = Plan(steps=steps) if steps else Plan()
    with alone(work, f"Another training is running in {work}."):
        net = train(Maker(*unpack(folder), SHARES), work, plan, Machine(**machine))
    click.echo(f"{PLACE.name} SHA-256 {write_network(net, PLACE, without=(STEM,))}")


@fit.command()
@click.option("--photos", type=PATH, required=True, help="Folder of unpacked Debian packages.")
@click.option("--ladder", "steps", type=PATH, required=True, help="Folder of its measures.")
@click.option("--said", "folder", type=PATH, required=True, help="Folder of its answers.")
@processes_option
def said(photos: Path, steps: Path, folder: Path, processes: int) -> None:
    """Ask the networks of photos that were kept from them; print what they add to the kernels.

    Rank correlation with the drawn severity by the networks' share in `said.SHARES`. A run that was
    cut off goes on.
    """
    from networks.judges.proxy.fit import said as answers
    from networks.judges.proxy.fit.heads import read_ladder
    from networks.judges.proxy.fit.within import fit_sight, sighted

    data, networks = read_ladder(steps), _hashes()
    answers.ask(photos, folder, networks, processes)
    found = answers.read(folder, networks, data)
    for degradation, by_share in answers.ranks(sighted(data, fit_sight(data)), found).items():
        line = " ".join(f"{value:.2f}" for value in by_share)
        click.echo(f"{degradation:12} SRCC by share of the networks: {line}")


@fit.command()
@click.option("--ladder", "steps", type=PATH, required=True, help="Folder of its measures.")
@click.option("--said", "folder", type=PATH, required=True, help="Folder of its answers.")
def within(steps: Path, folder: Path) -> None:
    """Fit what is added to the heads: the severity within a degradation, and its curve.

    Prints how it ranks severities across photos, by the kernel alone, and by the whole score, on
    the photos kept from the network.
    """
    from scipy.stats import spearmanr

    from networks.judges.proxy import head, kernel
    from networks.judges.proxy import sight as seen
    from networks.judges.proxy.fit import said as answers
    from networks.judges.proxy.fit.heads import read_ladder
    from networks.judges.proxy.fit.within import across, fit_sight, join, sighted

    data = read_ladder(steps)
    networks = _hashes()
    found = answers.read(folder, networks, data)
    sight = fit_sight(data)
    data = sighted(data, sight)
    asked = answers.is_asked(data)
    heads = {}
    for degradation, old in head.parse(head.PLACE.read_bytes()).items():
        heads[degradation], score = join(data, old, degradation, asked, found.of(degradation))
        own = data.kinds == degradation.value
        clean = score[asked & (data.kinds == "clean")]
        alone = spearmanr(across(data, degradation)[own], data.drawn[own])[0]
        rank = spearmanr(-score[own & asked], data.drawn[own & asked])[0]
        area = (score[own & asked][:, None] > clean[None]).mean()
        click.echo(
            f"{degradation:12} SRCC {alone:.2f} alone, {rank:.2f} joined, "
            f"AUC against clean {area:.2f}"
        )
    fitted = {d: one.kernel for d, one in heads.items() if one.kernel is not None}
    hashes = {
        "kernels": kernel.write_kernels(fitted, kernel.PLACE),
        "network": networks.network,
        "glass": networks.glass,
        "sight": seen.write_sight(sight, seen.PLACE),
    }
    click.echo(f"{head.PLACE.name} SHA-256 {head.write_heads(heads, hashes, head.PLACE)}")


def _hashes() -> "Hashes":
    """The networks as they lie there now."""
    from networks.judges.proxy import glass, network
    from networks.judges.proxy.fit.said import Hashes

    return Hashes(
        *(hashlib.sha256(p.read_bytes()).hexdigest() for p in (network.PLACE, glass.PLACE))
    )


def _fit(data: "Data", degradation: "Degradation") -> "Head":
    """Say how well the head does on photos it was not fitted to, and fit it to all."""
    import numpy as np
    from scipy.stats import spearmanr

    from networks.judges.proxy.fit.heads import fit_head

    held = data.held_out
    head = fit_head(data, ~held, degradation)
    score = head.evidence(data.matrix(head.names))
    own = held & (data.kinds == degradation.value)
    clean = held & (data.kinds == "clean")
    rank = spearmanr(-score[own], data.severities[degradation][own])[0]
    area = (score[own][:, None] > score[clean][None]).mean()
    click.echo(f"{degradation:12} held-out SRCC {rank:.2f}, AUC against clean {area:.2f}")
    return fit_head(data, np.ones(len(data), bool), degradation)


if __name__ == "__main__":
    with said_plainly():
        fit()
