"""Rank correlation of judged and true severities: `python -m benchmarks.judge_synthesis`.

Photos of ../shared/data/clean, none of them trained on, or of another folder, reduced to 1,600
pixels, degraded by `networks.degraders` at known severities, three of each photo and degradation.
Prints SRCC by degradation with its 95 % interval over photos (percentile bootstrap), and what the
judge says of the photos as they are.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path

import click
import numpy as np
from scipy.stats import spearmanr

from catalog.degradations import Degradation
from catalog.images import Rgb, decode
from catalog.progress import track
from catalog.threads import cores, limit_threads
from networks.degraders import load_degrader
from networks.interfaces import Judge
from networks.judges import load_judge
from networks.judges.proxy.fit.sources import reduced

DATA = Path(__file__).parents[1] / "../shared/data/clean"
LONGEST = 1600
SEVERITIES = 3
"""Of each photo and degradation."""
RESAMPLES = 2000

_judge = lru_cache(maxsize=1)(load_judge)


@click.command()
@click.option("--judge", "name", default="proxy")
@click.option("--folder", type=click.Path(path_type=Path, exists=True), default=DATA)
@click.option("--photos", default=25, help="How many, evenly from the folder.")
@click.option("--seed", default=0)
@click.option("-d", "only", multiple=True, help="One degradation; all where none is named.")
@click.option("--processes", type=click.IntRange(min=1), default=cores)
def main(
    name: str, folder: Path, photos: int, seed: int, only: tuple[str, ...], processes: int
) -> None:
    """Measure and print."""
    paths = sorted(folder.glob("*.jpg"))
    if not paths:
        raise click.UsageError(f"There is no *.jpg in {folder}: name a --folder of photos.")
    chosen = paths[:: max(len(paths) // photos, 1)][:photos]
    pairs = [(index, chosen[index], chosen[index - 1]) for index in range(len(chosen))]
    with ProcessPoolExecutor(processes, initializer=limit_threads, initargs=(1,)) as pool:
        for degradation in [Degradation(one) for one in only] or list(Degradation):
            ask = partial(_photo, name, degradation, seed)
            answers = track(pool.map(ask, pairs), degradation.value, total=len(pairs))
            found = np.array(list(answers), float)
            plain, true, said = found[:, 0, 1], found[:, 1:, 0], found[:, 1:, 1]
            rng = np.random.default_rng(seed)
            drawn = rng.integers(0, len(found), (RESAMPLES, len(found)))
            low, high = np.quantile([_srcc(true[d], said[d]) for d in drawn], [0.025, 0.975])
            print(
                f"{degradation:12} SRCC {_srcc(true, said):.3f} ({low:.2f} .. {high:.2f}) of "
                f"{np.isfinite(said).sum()}, median {np.nanmedian(said):.1f}, "
                f"clean {np.nanmedian(plain):.1f}",
                flush=True,
            )


def _photo(
    name: str, degradation: Degradation, seed: int, pair: tuple[int, Path, Path]
) -> list[tuple[float, float]]:
    """True and judged severity of the photo as it is and at `SEVERITIES` severities.

    nan where there is none.
    """
    index, path, other = pair
    photo, judge = _read(path), _judge(name)
    rng = np.random.default_rng([seed, index])
    mirrors = degradation is Degradation.REFLECTION
    degrader = load_degrader(degradation, layers=[_read(other)] if mirrors else [])
    found = [(float("nan"), _severity(judge, photo, degradation))]
    for _ in range(SEVERITIES):
        severity = float(rng.uniform(1, 5))
        degraded = degrader.degrade(photo, severity, rng)
        found.append((severity, _severity(judge, degraded, degradation)))
    return found


def _read(path: Path) -> Rgb:
    return reduced(decode(path.read_bytes()), LONGEST)


def _severity(judge: Judge, image: Rgb, degradation: Degradation) -> float:
    (answer,) = judge.judge([image], degradation)
    return float("nan") if answer.severity is None else answer.severity


def _srcc(true: np.ndarray, said: np.ndarray) -> float:
    answered = np.isfinite(said)
    return float(spearmanr(true[answered], said[answered])[0])


if __name__ == "__main__":
    main()
