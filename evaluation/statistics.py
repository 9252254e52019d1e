"""Paired statistics of per-image scores, stratified by task.

Everything is seeded and vectorised. The bootstrap is the percentile bootstrap of Efron and
Tibshirani (1993, ch. 13), resampling images within their task so that the mix of tasks is fixed.
Of the n images of a task n - 1 are drawn (Rao and Wu 1988): n of n would make the variance of a
stratified mean too small by (n - 1) / n, which for tasks of a few images is no interval at all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

EXACT_SIGNS = 12
"""Up to this many images all 2^n sign flips are counted instead of drawn."""

_DRAWS = 4_000_000
"""Indices in memory at a time."""

Statistic = Callable[[np.ndarray], np.ndarray]
"""(resamples, columns) means -> (resamples,) values."""


@dataclass(frozen=True)
class Interval:
    """A point estimate with a percentile interval; without bounds where n is below 2."""

    estimate: float
    low: float | None
    high: float | None
    n: int

    def as_json(self) -> dict[str, float | int | None]:
        """Plain numbers, rounded to 6 decimals."""
        return {
            "estimate": round(self.estimate, 6),
            "low": None if self.low is None else round(self.low, 6),
            "high": None if self.high is None else round(self.high, 6),
            "n": self.n,
        }


def resampled_means(
    columns: np.ndarray, strata: Sequence[str], samples: int, seed: int
) -> np.ndarray:
    """(samples, k) means of the k columns of (n, k) `columns` over stratified resamples.

    Row i belongs to stratum `strata[i]`. Each resample draws, with replacement, one row less than a
    stratum has, scaled up to all of them, so that the means vary as those of new samples would.
    Strata of a single row, which say nothing of their spread, are taken as one, or with the
    smallest other: never too narrow. All columns share the draws, so differences of columns are
    paired.
    """
    columns = np.asarray(columns, dtype=np.float64)
    if len(strata) != len(columns):
        raise ValueError(f"{len(columns)} rows but {len(strata)} strata.")
    if len(columns) < 2:
        raise ValueError(f"{len(columns)} row(s) cannot be resampled.")
    rng = np.random.default_rng(seed)
    total = np.zeros((samples, columns.shape[1]))
    for indices in _strata(strata):
        rows = columns[indices]
        n = len(rows)
        chunk = max(1, _DRAWS // n)  # bounds the memory, not the result's distribution
        for start in range(0, samples, chunk):
            drawn = rng.integers(0, n, size=(min(chunk, samples - start), n - 1))
            for column in range(rows.shape[1]):
                drawn_sum = rows[:, column][drawn].sum(axis=1)
                total[start : start + chunk, column] += drawn_sum * (n / (n - 1))
    return total / len(columns)


def _strata(labels: Sequence[str]) -> list[list[int]]:
    """Row numbers of each stratum, at least two in each; `labels` are two or more."""
    found: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        found.setdefault(label, []).append(index)
    several = [found[label] for label in sorted(found) if len(found[label]) > 1]
    single = [found[label][0] for label in sorted(found) if len(found[label]) == 1]
    if len(single) > 1:
        return [*several, single]
    if single:
        smallest = min(range(len(several)), key=lambda index: len(several[index]))
        several[smallest] = several[smallest] + single
    return several


def bootstrap(
    columns: np.ndarray,
    strata: Sequence[str],
    statistic: Statistic,
    samples: int,
    seed: int,
    confidence: float = 0.95,
) -> Interval:
    """Two-sided percentile interval of `statistic` over the means of (n, k) `columns`."""
    columns = np.asarray(columns, dtype=np.float64)
    if len(columns) == 0:
        return Interval(float("nan"), None, None, 0)
    estimate = float(statistic(columns.mean(axis=0)[None, :])[0])
    if len(columns) < 2:
        return Interval(estimate, None, None, len(columns))
    values = statistic(resampled_means(columns, strata, samples, seed))
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high), len(columns))


def mean_interval(
    values: Sequence[float] | np.ndarray,
    strata: Sequence[str],
    samples: int,
    seed: int,
    confidence: float = 0.95,
) -> Interval:
    """Interval of the mean of one column."""
    column = np.asarray(values, dtype=np.float64).reshape(-1, 1)
    return bootstrap(column, strata, lambda means: means[:, 0], samples, seed, confidence)


def expanded_tail(tail: float, strata: Sequence[str]) -> float:
    """The smaller tail at which a percentile bound of a mean has the reach of Student's t.

    A resampled mean is nearly normal, so far out its quantiles lie too near where there are few
    rows: one at 0.4 % of 36 rows in nine strata is passed by 0.9 % of means. The tail is that of a
    normal value beyond t's quantile, with a degree of freedom a row less one a stratum (the
    expanded percentile interval of Hesterberg 2015, whose factor n / (n - 1) the resamples have).
    """
    from scipy.stats import norm, t

    freedom = max(1, len(strata) - len(_strata(strata)))
    return float(norm.sf(t.isf(tail, freedom)))


FLIPS_AT_ONCE = 4096
"""Of a million flips of 500 images, 4 GB would be needed at once. A multiple of four, since NumPy
draws four signs at a time: so the parts are the same signs as a whole."""


def sign_flip_p(differences: Sequence[float] | np.ndarray, samples: int, seed: int) -> float:
    """One-sided p of a mean at least as large as seen, were every sign a coin's throw.

    Exact for up to `EXACT_SIGNS` differences, else drawn, counting the observed one
    (Phipson and Smyth 2010), so that p is never 0.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n == 0 or not np.any(values):
        return 1.0
    observed = values.sum()
    tolerance = 1e-12 * np.abs(values).sum()
    if n <= EXACT_SIGNS:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return float(np.mean((1 - 2 * bits) @ values >= observed - tolerance))
    rng = np.random.default_rng(seed)
    reached = 0
    for first in range(0, samples, FLIPS_AT_ONCE):
        size = (min(FLIPS_AT_ONCE, samples - first), n)
        signs = rng.integers(0, 2, size=size, dtype=np.int8) * 2 - 1
        reached += int(np.sum(signs @ values >= observed - tolerance))
    return (reached + 1) / (samples + 1)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values by Holm (1979): family-wise error control over all keys."""
    adjusted: dict[str, float] = {}
    running = 0.0
    ordered = sorted(p_values.items(), key=lambda item: (item[1], item[0]))
    for rank, (key, p) in enumerate(ordered):
        running = max(running, min(1.0, (len(ordered) - rank) * p))
        adjusted[key] = running
    return {key: adjusted[key] for key in p_values}


@dataclass(frozen=True)
class Tally:
    """On how many images the candidate beat, equalled or lost to the other side."""

    win: int
    tie: int
    loss: int


def tally(differences: Sequence[float] | np.ndarray, tolerance: float = 1e-9) -> Tally:
    """Count signs; within `tolerance` is a tie."""
    values = np.asarray(differences, dtype=np.float64)
    win, loss = int(np.sum(values > tolerance)), int(np.sum(values < -tolerance))
    return Tally(win, len(values) - win - loss, loss)


@dataclass(frozen=True)
class Agreement:
    """How far a judge repeats itself; severities are rounded to the five grades."""

    images: int
    same: float
    kappa: float


def agreement(first: Sequence[float | None], second: Sequence[float | None]) -> Agreement:
    """Share of equal grades and quadratic kappa (Cohen 1968) of two runs over the same images.

    A failure is a grade of its own. Where each run gave one grade throughout, kappa is undefined:
    it is 1 if the runs are the same and 0 otherwise.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} judgements against {len(second)}.")
    if not first:
        return Agreement(0, float("nan"), float("nan"))
    a, b = ([0 if grade is None else round(grade) for grade in run] for run in (first, second))
    same = float(np.mean(np.equal(a, b)))
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    expected = float(np.mean((x[:, None] - y[None, :]) ** 2))
    seen = float(np.mean((x - y) ** 2))
    kappa = 1.0 - seen / expected if expected > 0 else float(same == 1.0)
    return Agreement(len(first), same, kappa)
