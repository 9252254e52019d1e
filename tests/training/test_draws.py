"""The order of training samples: tasks equal, the ratio exact, a function of the sample alone."""

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.degradations import Degradation
from catalog.errors import UserError
from training.draws import Draws, Pair


def pairs(task: Degradation, synthetic: int, real: int) -> list[Pair]:
    return [
        Pair(f"{task}-{origin}-{i:03d}", f"d{i}", f"c{i}", task, origin)
        for origin, count in (("synthetic", synthetic), ("real", real))
        for i in range(count)
    ]


REAL = (Degradation.BLUR, Degradation.HAZE, Degradation.RAIN)


def dataset() -> list[Pair]:
    return [pair for task in Degradation for pair in pairs(task, 7, 5 if task in REAL else 0)]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 500), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_the_ratio_is_exact_in_every_window_of_a_task_with_both(
    synthetic: int, real: int, start: int, seed: int
) -> None:
    draws = Draws(dataset(), synthetic, real, seed)
    assert len(draws.tasks) == 9
    for slot, task in enumerate(draws.tasks):
        if task not in REAL:
            continue
        numbers = [slot + 9 * (start + i) for i in range(draws.window)]
        origins = Counter(draws[number].origin for number in numbers)
        assert origins["real"] == draws.real
        assert origins["real"] * synthetic == origins["synthetic"] * real


@given(st.integers(0, 10_000))
@settings(deadline=None)
def test_nine_samples_in_a_row_hold_each_task_once(start: int) -> None:
    draws = Draws(dataset(), 2, 8, 0)
    assert {draws[start + i].degradation for i in range(9)} == set(Degradation)


def test_every_pair_of_a_pool_comes_once_an_epoch_in_another_order() -> None:
    draws = Draws(pairs(Degradation.BLUR, 11, 0), 1, 0, 3)
    first, second = ([draws[11 * epoch + i].pair_id for i in range(11)] for epoch in range(2))
    assert len(set(first)) == 11
    assert sorted(first) == sorted(second)
    assert first != second


def test_the_counts_are_those_of_the_draws() -> None:
    draws = Draws(dataset(), 2, 8, 0)
    for samples in (0, 1, 9, 100, 257):
        seen = Counter((draws[n].degradation, draws[n].origin) for n in range(samples))
        told = {
            (Degradation(task), origin): count
            for task, by_origin in draws.counts(samples).items()
            for origin, count in by_origin.items()
            if count
        }
        assert told == dict(seen)


def test_another_seed_is_another_order_and_the_same_seed_the_same() -> None:
    def order(seed: int) -> list[str]:
        return [Draws(dataset(), 1, 1, seed)[n].pair_id for n in range(50)]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_an_origin_without_a_share_stays_out_and_its_task_is_missing() -> None:
    draws = Draws(
        pairs(Degradation.BLUR, 0, 3) + pairs(Degradation.NOISE, 3, 0), synthetic=1, real=0, seed=0
    )
    assert draws.tasks == [Degradation.NOISE]
    assert Degradation.BLUR in draws.missing


def test_no_pair_at_all_says_what_to_do() -> None:
    with pytest.raises(UserError, match=re.escape("no synthetic training pair")):
        Draws(pairs(Degradation.BLUR, 0, 3), 1, 0, 0)
