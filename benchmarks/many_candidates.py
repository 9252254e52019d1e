"""Twenty useless candidates against one champion: how often any of them passes the gate.

    python -m benchmarks.many_candidates [--trials 1000] [--candidates 20]

The world of `benchmarks.gate_simulation`: every candidate is as good as the champion, differs from
it by noise of its own, and all meet the same champion on the same images. A trial is one champion's
time; it counts where one candidate or more passes the lower bound of the mean difference and the
least difference (the veto, which only takes away, is left out). Rows: each candidate judged by
itself at 95 %, and all sharing 5 %; benchmarks of 464 images and of 36, as the demo's. Then the
price: how often a candidate with a true difference passes as the k-th.

To save time the bootstrap is asked only about means above half the normal bound.
"""

import argparse
import math
from statistics import NormalDist

import numpy as np

from benchmarks.gate_simulation import PER_TASK, calibrate, restored, score, world
from catalog.degradations import Degradation
from catalog.settings.evaluation import Gate
from evaluation.spending import resamples, spent_by
from evaluation.statistics import expanded_tail, mean_interval, resampled_means

GATE = Gate()
ALPHA = 1 - GATE.confidence
SIZES = {"464 images": PER_TASK, "36 images": (4,) * 9}
PLACES = (1, 2, 3, 5, 10, 20)


def differences(
    rng: np.random.Generator, tasks: tuple[int, ...], candidates: int, shift: float
) -> np.ndarray:
    """(images, candidates) of signed FS, candidate minus the one champion."""
    degraded, easy = world(rng, sum(tasks))
    champion = score(degraded, *restored(rng, degraded, easy, 0.0))
    mine = [score(degraded, *restored(rng, degraded, easy, shift)) for _ in range(candidates)]
    return np.stack(mine, 1) - champion[:, None]


def passes(values: np.ndarray, strata: list[str], tail: float, least: float) -> bool:
    """Whether the lower bound is above 0 and the mean at least `least`, as the gate asks.

    `tail` is `ALPHA` for a candidate by itself, or its share.
    """
    mean, error = values.mean(), values.std(ddof=1) / math.sqrt(len(values))
    if mean < max(least, 1e-12) or mean < 0.5 * NormalDist().inv_cdf(1 - tail) * error:
        return False
    if tail != ALPHA:
        tail = expanded_tail(tail, strata)
    samples = resamples(tail, 1000)
    low = mean_interval(values, strata, samples, 0, 1 - 2 * tail).low
    return low is not None and low > 0


def family(tasks: tuple[int, ...], trials: int, candidates: int) -> tuple[float, float]:
    """Share of trials in which one passes: each by itself, and sharing alpha."""
    rng = np.random.default_rng(2026)
    strata = _strata(tasks)
    alone = together = 0
    for _ in range(trials):
        values = differences(rng, tasks, candidates, 0.0).T
        ways = [ALPHA] * candidates, [spent_by(k + 1, ALPHA) for k in range(candidates)]
        found = [
            any(
                passes(one, strata, tail, GATE.min_difference)
                for one, tail in zip(values, tails, strict=True)
            )
            for tails in ways
        ]
        alone, together = alone + found[0], together + found[1]
    return alone / trials, together / trials


def power(difference: float, trials: int) -> list[float]:
    """How often a candidate of a true difference passes: by itself, and at each of `PLACES`."""
    rng, shift = np.random.default_rng(7), calibrate(difference)
    tails = [ALPHA, *(expanded_tail(spent_by(k, ALPHA), _strata(PER_TASK)) for k in PLACES)]
    won = np.zeros(len(tails))
    for _ in range(trials):
        values = differences(rng, PER_TASK, 1, shift)
        means = resampled_means(values, _strata(PER_TASK), 20_000, 0)[:, 0]
        won += (np.quantile(means, tails) > 0) & (values.mean() >= GATE.min_difference)
    return list(won / trials)


def _strata(tasks: tuple[int, ...]) -> list[str]:
    return [task for task, n in zip(Degradation, tasks, strict=True) for _ in range(n)]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--candidates", type=int, default=20)
    options = parser.parse_args()
    print(f"any of {options.candidates} useless candidates passes, {options.trials} trials")
    for name, tasks in SIZES.items():
        alone, together = family(tasks, options.trials, options.candidates)
        print(f"{name}: each by itself {alone:.1%}, sharing {together:.1%}", flush=True)
    print("true difference".ljust(16), "by itself", *(f"k={k}".rjust(7) for k in PLACES))
    for value in (0.01, 0.02, 0.03, 0.05):
        row = power(value, options.trials // 5)
        print(f"{value:.2f}".ljust(16), *(f"{share:7.1%}" for share in row), flush=True)


if __name__ == "__main__":
    main()
