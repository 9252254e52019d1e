"""Statistics against published values, other libraries and laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from evaluation.statistics import (
    FLIPS_AT_ONCE,
    agreement,
    bootstrap,
    holm,
    mean_interval,
    resampled_means,
    sign_flip_p,
    tally,
)

FINITE = st.floats(-10, 10, allow_nan=False)


def test_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).gamma(2.0, size=80)
    mine = mean_interval(values, ["one"] * 80, 20_000, 0)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    assert mine.low == pytest.approx(theirs.low, abs=0.01)
    assert mine.high == pytest.approx(theirs.high, abs=0.01)


def test_interval_covers_the_true_mean() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(400):
        values = rng.normal(0.3, 1.0, 60)
        found = mean_interval(values, ["a"] * 30 + ["b"] * 30, 500, trial)
        assert found.low is not None and found.high is not None
        hits += found.low <= 0.3 <= found.high
    assert 0.91 <= hits / 400 <= 0.98


@pytest.mark.parametrize("sizes", [(4,) * 9, (2,) * 9, (1,) * 12, (4,) + (1,) * 8, (3, 1)])
def test_small_strata_have_the_spread_of_a_new_sample(sizes: tuple[int, ...]) -> None:
    """As of the embedded profile, where a task may have one image."""
    strata = [f"task {i}" for i, size in enumerate(sizes) for _ in range(size)]
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(300, len(strata)))
    spreads = [
        resampled_means(values[:, None], strata, 300, trial).std()
        for trial, values in enumerate(draws)
    ]
    assert np.mean(np.square(spreads)) == pytest.approx(1 / len(strata), rel=0.1)


def test_resamples_keep_the_mix_of_strata() -> None:
    # All the variance is between the strata, so a stratified resample has none.
    values = np.array([[0.0]] * 5 + [[10.0]] * 15)
    means = resampled_means(values, ["a"] * 5 + ["b"] * 15, 200, 0)
    assert np.ptp(means) == 0
    assert means[0, 0] == 7.5


def test_columns_are_drawn_together() -> None:
    column = np.random.default_rng(0).normal(size=(30, 1))
    means = resampled_means(np.hstack([column, column + 1]), ["a"] * 30, 300, 0)
    assert np.allclose(means[:, 1] - means[:, 0], 1)


def test_same_seed_same_interval_and_another_seed_another() -> None:
    values, strata = np.arange(20.0), ["a"] * 20
    assert mean_interval(values, strata, 500, 7) == mean_interval(values, strata, 500, 7)
    assert mean_interval(values, strata, 500, 7) != mean_interval(values, strata, 500, 8)


def test_one_image_has_no_interval_and_none_has_no_mean() -> None:
    one = mean_interval([0.5], ["a"], 100, 0)
    assert (one.estimate, one.low, one.high) == (0.5, None, None)
    none = bootstrap(np.empty((0, 1)), [], lambda means: means[:, 0], 100, 0)
    assert np.isnan(none.estimate) and none.n == 0


def test_holm_on_a_worked_example() -> None:
    # Holm (1979) by hand: 0.01*4, 0.02*3, 0.03*2, 0.04*1, each at least the one before.
    found = holm({"a": 0.01, "d": 0.04, "c": 0.03, "b": 0.02})
    assert found == pytest.approx({"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.06})


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=9))
def test_holm_never_lowers_a_p_and_keeps_the_order(values: dict[str, float]) -> None:
    found = holm(values)
    assert all(values[key] <= found[key] <= 1 for key in values)
    ordered = sorted(values, key=lambda key: (values[key], key))
    assert [found[key] for key in ordered] == sorted(found.values())


def test_sign_flips_are_exact_for_few_and_agree_with_scipy() -> None:
    values = np.array([0.3, -0.1, 0.5, 0.2, 0.9, -0.4])
    exact = stats.permutation_test(
        (values,), np.sum, permutation_type="samples", alternative="greater", n_resamples=np.inf
    ).pvalue
    assert sign_flip_p(values, 10, 0) == pytest.approx(exact)


def test_sign_flips_are_uniform_under_no_difference() -> None:
    rng = np.random.default_rng(0)
    found = [sign_flip_p(rng.normal(size=30), 400, trial) for trial in range(300)]
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert sign_flip_p(np.zeros(40), 400, 0) == 1.0


def test_sign_flips_in_parts_are_those_of_a_whole() -> None:
    values = np.random.default_rng(1).normal(0.1, 1, 31)
    samples = 2 * FLIPS_AT_ONCE + 77
    signs = np.random.default_rng(3).integers(0, 2, (samples, 31), np.int8) * 2 - 1
    reached = int((signs @ values >= values.sum() - 1e-9).sum())
    assert sign_flip_p(values, samples, 3) == (reached + 1) / (samples + 1)


@given(st.lists(FINITE, max_size=30))
def test_tally_counts_every_image_once(values: list[float]) -> None:
    found = tally(values)
    assert found.win + found.tie + found.loss == len(values)
    mirrored = tally([-value for value in values])
    assert (mirrored.win, mirrored.loss) == (found.loss, found.win)


def test_kappa_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    first = rng.integers(1, 6, 60)
    second = np.clip(first + rng.integers(-1, 2, 60), 1, 5)
    found = agreement(list(map(float, first)), list(map(float, second)))
    assert found.kappa == pytest.approx(cohen_kappa_score(first, second, weights="quadratic"))
    assert found.same == pytest.approx(np.mean(first == second))


def test_a_failure_is_a_grade_of_its_own() -> None:
    assert agreement([3.0, None], [3.0, 3.0]).same == 0.5
    assert agreement([3.0, 3.0], [3.0, 3.0]).kappa == 1.0
    assert agreement([3.0, 3.0], [4.0, 4.0]).kappa == 0.0
