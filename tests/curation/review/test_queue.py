"""Who is shown what, what comes first, and how far reviewers agree."""

from typing import Any

import numpy as np
import pytest

from catalog.settings.pairs import Pair
from curation.review.agreement import agreement, cohen_kappa, fleiss_kappa
from curation.review.decisions import Decision
from curation.review.queue import Filter, Queue, doubt


def test_a_pair_that_is_not_shared_goes_to_one_reviewer() -> None:
    pairs = [
        {"pair_id": f"{n:064x}", "degradation": "haze", "teacher": "t", "verdict": "keep"}
        | {"severity_degraded": 2.0, "severity_clean": 3.0 + n, "consistency": 0.1, "shift": 0.0}
        for n in range(40)
    ]
    queue = Queue(pairs, Pair(), share=0.3)
    every = {}
    for reviewer in ("ann", "bob"):
        found = queue.upcoming(reviewer, {}, Filter(), 40)
        every[reviewer] = {pair["pair_id"] for pair in found}
    assert every["ann"] == {pair["pair_id"] for pair in pairs}
    assert every["bob"] == queue.shared
    assert 4 <= len(queue.shared) <= 20
    assert queue.upcoming("ann", {}, Filter(degradation="rain"), 5) == []


def test_one_pair_that_many_saw_does_not_stand_for_all() -> None:
    def said(pair: str, *words: str) -> dict[str, Decision]:
        return {name: Decision(pair, name, w) for name, w in zip("abc", words, strict=False)}

    decided = {f"{n}": said(f"{n}", *["accept", "reject"][:: (-1) ** n]) for n in range(20)}
    decided["all"] = said("all", "accept", "accept", "accept")
    fleiss = agreement(decided)["fleiss"]
    assert fleiss is not None, "only the pair that three saw was counted"
    assert fleiss < -0.8


def test_who_leaves_takes_no_pair_with_them() -> None:
    pairs = [
        {"pair_id": f"{n:064x}", "degradation": "haze", "teacher": "t", "verdict": "keep"}
        | {"severity_degraded": 2.0, "severity_clean": 3.0, "consistency": 0.1, "shift": 0.0}
        for n in range(6)
    ]
    seconds = [0.0]
    queue = Queue(pairs, Pair(), 0.0, lambda: seconds[0])
    assert len(queue.upcoming("ann", {}, Filter(), 3)) == 3
    seconds[0] = 600.0
    assert len(queue.upcoming("bob", {}, Filter(), 6)) == 3
    assert len(queue.upcoming("ann", {}, Filter(), 6)) == 3, "asking keeps one's pairs"
    seconds[0] = 1499.0
    assert len(queue.upcoming("bob", {}, Filter(), 6)) == 3
    seconds[0] = 1500.0
    assert len(queue.upcoming("bob", {}, Filter(), 6)) == 6


def test_what_screening_was_least_sure_of_comes_first() -> None:
    def pair(changed: float, warp: float = 0.0, gained: float = 2.0) -> dict[str, Any]:
        scores = {"content-changed": changed, "move-warp": warp, "move-relative": 0.1}
        sides = {"severity_degraded": 2.0, "severity_clean": 2.0 + gained, "consistency": 0.1}
        return {"degradation": "haze", "scores": list(scores.items()), **sides}

    unsure, kept, lost = pair(0.45), pair(0.001), pair(0.999)
    assert doubt(unsure, Pair()) > 0.8 > doubt(kept, Pair()) > 0
    assert doubt(lost, Pair()) < 0.2, "what fails by far is sure, however near another limit is"
    assert doubt(pair(0.999, warp=0.12), Pair()) == doubt(lost, Pair())


def test_kappas_are_those_of_the_literature() -> None:
    # Fleiss (1971) as worked in Wikipedia's example: 14 raters, 10 subjects, 5 categories.
    text = "0 0 0 0 14  0 2 6 4 2  0 0 3 5 6  0 3 9 2 0  2 2 8 1 1  "
    text += "7 7 0 0 0  3 2 6 3 0  2 5 3 2 2  6 5 2 1 0  0 2 2 3 7"
    counts = np.array(text.split(), int).reshape(10, 5)
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)
    first = ["accept"] * 25 + ["reject"] * 25
    second = ["accept"] * 20 + ["reject"] * 5 + ["accept"] * 10 + ["reject"] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    # Pairs that fewer have seen count by their own ratings: 1, 1/3 and 0 agree, 5 : 3 by chance.
    uneven = np.array([[3, 0, 0], [1, 2, 0], [1, 1, 0]])
    assert fleiss_kappa(uneven) == pytest.approx((4 / 9 - 34 / 64) / (1 - 34 / 64))
    assert fleiss_kappa(np.zeros((0, 3))) is None
    assert cohen_kappa(["accept"], ["accept"]) is None
