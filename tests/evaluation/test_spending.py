"""Many candidates against one champion: what each may use up of the chance of error."""

import json
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest

from catalog.layout import Layout
from catalog.settings import Params
from catalog.settings.evaluation import Gate
from evaluation.registry import decisions
from evaluation.registry.gating import gate_version
from evaluation.registry.records import model_tags
from evaluation.registry.register import Candidate, register_candidate
from evaluation.registry.store import Registry
from evaluation.registry.turns import take_turn
from evaluation.spending import percent, resamples, spent_by
from evaluation.statistics import expanded_tail, resampled_means
from tests.evaluation.conftest import score_sharpener
from tests.evaluation.registering import bare_version
from tests.evaluation.test_gate import FINE, GATE, table

ALPHA = 1 - Gate().confidence


def test_the_shares_add_up_to_no_more_than_all() -> None:
    shares = [spent_by(k, ALPHA) for k in range(1, 1001)]
    assert shares[0] == pytest.approx(ALPHA / 2)
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(ALPHA * (1 - 1 / 1001))
    with pytest.raises(ValueError, match="count from 1"):
        spent_by(0, ALPHA)


def test_of_twenty_useless_candidates_none_passes_more_often_than_alpha() -> None:
    """Equal models: each candidate's mean differs from the champion's by noise of both alone.

    The bounds are those of a normal mean; benchmarks/many_candidates.py asks the gate itself.
    """
    trials, candidates, images = 4000, 20, 464
    rng = np.random.default_rng(2026)
    champion = rng.normal(size=(trials, 1)) / np.sqrt(images)
    mine = rng.normal(size=(trials, candidates)) / np.sqrt(images)
    z = (mine - champion) / np.sqrt(2 / images)

    def promoted(confidences: list[float]) -> float:
        bounds = np.array([NormalDist().inv_cdf(one) for one in confidences])
        return float((z > bounds).any(axis=1).mean())

    each_by_itself = promoted([1 - ALPHA] * candidates)
    together = promoted([1 - spent_by(k + 1, ALPHA) for k in range(candidates)])
    assert each_by_itself > 0.3
    assert 0.02 < together <= ALPHA


def test_a_later_candidate_needs_more_for_the_same() -> None:
    from evaluation.gate import decide

    candidate, champion = table(0.008, seed=1), table(0.0, seed=2)
    first, fifth = (decide(candidate, champion, FINE, GATE, turn=turn) for turn in (1, 5))
    assert (first.verdict, fifth.verdict) == ("promote", "inconclusive")
    assert first.difference.high == fifth.difference.high, "a rejection asks for no more"
    assert fifth.confidence == pytest.approx(1 - ALPHA / 30)
    assert "at 99.83% and" in fifth.reasons[0]
    assert "candidate 5 against it" in fifth.reasons[0]
    alone = GATE.model_copy(update={"confidence_for": "candidate"})
    found = decide(candidate, champion, FINE, alone, turn=5)
    assert (found.verdict, found.confidence) == ("promote", 0.95)
    assert found.relaxed["confidence_for"] == ("candidate", "champion")


def test_the_bootstrap_is_large_enough_for_the_bound() -> None:
    assert resamples(0.025, 10_000) == 10_000
    assert resamples(spent_by(20, ALPHA), 10_000) == 84_000
    assert resamples(1e-9, 10_000) == resamples(0.0, 10_000) == 1_000_000


def test_a_strict_bound_of_few_images_is_passed_no_more_often_than_it_says() -> None:
    """Four values a task, as in the demo: a plain percentile bound at 0.4 % is passed by 0.9 %."""
    rng = np.random.default_rng(5)
    strata = [str(n % 9) for n in range(36)]
    values = rng.normal(size=(36, 2000))
    # Of columns that share their draws; a bound above 0 is one above the true mean.
    means = resampled_means(values, strata, 2500, 0)
    tail = spent_by(3, ALPHA)
    plain, expanded = (
        float((np.quantile(means, level, axis=0) > 0).mean())
        for level in (tail, expanded_tail(tail, strata))
    )
    assert plain > 1.5 * tail
    assert expanded < 1.5 * tail
    assert expanded_tail(tail, ["a"] * 100_000) == pytest.approx(tail, rel=1e-3)


@pytest.mark.parametrize(
    ("confidence", "said"),
    [(0.95, "95%"), (0.975, "97.5%"), (1 - 0.05 / 6, "99.17%"), (1 - 0.05 / 420, "99.988%")],
)
def test_levels_are_said_with_the_digits_they_need(confidence: float, said: str) -> None:
    assert percent(confidence) == said


def test_each_version_is_counted_once_a_benchmark_beside_one_champion(registry: Registry) -> None:
    first, second, third = (registry.version(bare_version(registry)) for _ in range(3))

    def take(version: object, champion: str | None = "9", benchmark: str = "bench") -> int:
        return take_turn(registry, version, champion, benchmark)  # type: ignore[arg-type]

    assert [take(first), take(second), take(first), take(second)] == [1, 2, 1, 2]
    assert (take(third, "8"), take(third, None)) == (1, 1)
    registry.client.delete_model_version(registry.name, second.number)
    assert take(third) == 3, "one that was deleted has had its chance"
    assert take(first, "9", "a night later") == 4, "nearly the same images are another chance"
    assert [take(first), take(first, "9", "a night later")] == [1, 4]


def test_looks_beyond_what_one_tag_of_a_server_holds_are_counted(registry: Registry) -> None:
    version = registry.version(bare_version(registry))
    # As it was written before: one tag for all.
    before = [f"{version.number}@{night:016d}" for night in range(250)]
    name = "mendline.compared.9"
    registry.client.set_registered_model_tag(registry.name, name, json.dumps(before))
    turns = [take_turn(registry, version, "9", f"{night:016d}") for night in (249, 250, 251, 250)]
    assert turns == [250, 251, 252, 251]
    written = {key: tag for key, tag in model_tags(registry).items() if key != name}
    # MLflow's column on a server: VARCHAR(5000).
    assert sum(map(len, written.values())) < 5000 / 2


def test_what_was_gated_before_there_was_a_count_is_counted(registry: Registry) -> None:
    first, second, third = (bare_version(registry, champion_seen="9") for _ in range(3))
    for version in (first, second):
        registry.tag(version, benchmark="bench")
    assert take_turn(registry, registry.version(third), "9", "bench") == 3
    assert take_turn(registry, registry.version(second), "9", "bench") == 2


def test_the_second_candidate_is_told_so_in_its_report(
    layout: Layout,
    params: Params,
    registry: Registry,
    model_folder: Callable[[int], "object"],
) -> None:
    def register(seed: int, percent_: int) -> Candidate:
        out = layout.root / f"results/{seed}"
        score_sharpener(layout, percent_, out)
        return register_candidate(layout, params, model_folder(seed), out)  # type: ignore[arg-type]

    first, second = register(1, 100), register(2, 150)
    assert gate_version(layout, params, first.version).verdict.confidence == pytest.approx(0.975)
    for _ in range(2):
        gated = gate_version(layout, params, second.version)
        assert (gated.verdict.candidate, gated.verdict.verdict) == (2, "promote")
        said = gated.report.read_text("utf-8")
        assert "Candidate 2 of those compared with the unrestored input" in said
        assert "is at 99.17% here" in said
    decisions.approve(layout, params, first.version, "Ada")
    again = gate_version(layout, params, second.version).verdict
    assert (again.candidate, again.against) == (1, "champion version 1")
