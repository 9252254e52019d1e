"""The verdicts, each with the reason it rests on."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from catalog.degradations import Degradation
from catalog.settings.evaluation import Gate
from evaluation.gate import Verdict, decide
from evaluation.scores import ImageScore, Provenance, ScoreTable
from evaluation.statistics import Agreement
from networks.interfaces import Identity

FINE = Agreement(60, 1.0, 1.0)
GATE = Gate(bootstrap=1000, permutations=1000)


def provenance(judge: str = "j", model: str = "m") -> Provenance:
    return Provenance.of(
        Identity(judge, "1"), Identity("c", "1"), Identity(model, "1"), "bench", "digest"
    )


def table(
    gain: float | dict[Degradation, float] = 0.0, per_task: int = 52, seed: int = 0, **kind: str
) -> ScoreTable:
    """Scores of a model that is better by `gain` (FS units) than the one of gain 0."""
    rng = np.random.default_rng(seed)
    rows = []
    for task in Degradation:
        more = gain.get(task, 0.0) if isinstance(gain, dict) else gain
        for number in range(per_task):
            degraded, quality = rng.uniform(1, 3), rng.normal(1.0, 0.3)
            severity = degraded + quality + more / (0.2 * 0.7)
            rows.append(
                ImageScore(
                    f"{task}-{number}", f"{task}/{number}", task, "scored", degraded, severity, 0.3
                )
            )
    return ScoreTable(provenance(**kind), tuple(rows))


def gate(candidate: ScoreTable, champion: ScoreTable | None, **changes: object) -> Verdict:
    return decide(candidate, champion, FINE, GATE.model_copy(update=changes))


def edit(scores: ScoreTable, change: Callable[[int, ImageScore], ImageScore]) -> ScoreTable:
    return replace(scores, rows=tuple(change(i, row) for i, row in enumerate(scores.rows)))


def _lost(row: ImageScore, side: str) -> ImageScore:
    return replace(row, outcome=f"judge-failed-{side}", **{f"severity_{side}": None})


def test_a_better_model_is_promoted() -> None:
    found = gate(table(0.03, seed=1), table(0.0, seed=2))
    assert found.verdict == "promote"
    assert found.difference.low is not None and found.difference.low > 0
    assert found.better_p < 0.05


def test_the_same_scores_are_rejected() -> None:
    assert gate(table(0.0), table(0.0)).verdict == "reject"


def test_a_worse_model_is_rejected() -> None:
    assert gate(table(-0.03, seed=1), table(0.0, seed=2)).verdict == "reject"


def test_better_by_too_little_is_not_promoted() -> None:
    found = gate(table(0.004), table(0.0))  # the same images, so the interval is a point
    assert found.difference.low is not None and found.difference.low > 0
    assert found.verdict == "reject"


def test_a_difference_within_the_noise_is_inconclusive() -> None:
    few, one = {"min_images": 1, "min_images_per_task": 1}, 3
    found = gate(table(0.01, one, seed=3), table(0.0, one, seed=2), **few)
    assert found.difference.low is not None and found.difference.high is not None
    assert found.difference.low < 0.005 < found.difference.high
    assert found.verdict == "inconclusive"


def test_one_task_that_is_worse_vetoes_a_model_that_is_better_on_average() -> None:
    gains = dict.fromkeys(Degradation, 0.05) | {Degradation.HAZE: -0.06}
    found = gate(table(gains, seed=1), table(0.0, seed=2))
    assert found.difference.estimate > 0.03
    assert found.verdict == "reject"
    assert found.reasons[0].startswith("haze is worse")


def test_a_few_images_veto_only_where_all_of_the_interval_is_worse() -> None:
    few: dict[str, object] = {"min_images": 1, "min_images_per_task": 1, "veto_min_images": 10}
    gains = dict.fromkeys(Degradation, 0.3) | {Degradation.HAZE: -0.13}
    sure = gate(table(gains, 6), table(0.0, 6), **few)  # the same images: no doubt about haze
    assert sure.tasks[Degradation.HAZE].worse_p > 0.05, "no test can say so of six images"
    assert (sure.verdict, sure.reasons[0][:13]) == ("reject", "haze is worse")

    # Three images at -1.0, -0.2 and +0.9: -0.1 on average, and nobody knows.
    shifts = iter((-1.0, -0.2, 0.9))

    def change(index: int, row: ImageScore) -> ImageScore:
        if row.degradation != Degradation.HAZE or row.severity_restored is None:
            return row
        return replace(row, severity_restored=row.severity_restored + next(shifts) / (0.2 * 0.7))

    better = table({task: 0.3 for task in Degradation if task != Degradation.HAZE}, 3)
    unsure = gate(edit(better, change), table(0.0, 3), **few)
    assert unsure.tasks[Degradation.HAZE].difference.estimate < -0.08
    assert unsure.verdict == "promote"


def test_a_large_loss_vetoes_even_where_it_is_not_significant() -> None:
    # Haze: a mean of -0.1 under noise of 1.0, so that no test calls it worse.
    noise = np.random.default_rng(0).normal(0, 1.0, 52)
    shifts = iter(noise - noise.mean() - 0.1)
    better = table({task: 0.05 for task in Degradation if task != Degradation.HAZE})

    def change(index: int, row: ImageScore) -> ImageScore:
        if row.degradation != Degradation.HAZE or row.severity_restored is None:
            return row
        return replace(row, severity_restored=row.severity_restored + next(shifts) / (0.2 * 0.7))

    found = gate(edit(better, change), table(0.0))
    assert found.tasks[Degradation.HAZE].worse_p > 0.05
    assert found.verdict == "reject"
    assert "beyond the limit" in found.reasons[0]


def test_without_a_champion_the_other_side_is_the_input() -> None:
    found = gate(table(0.0), None)
    assert (found.verdict, found.against) == ("promote", "the unrestored input")
    harmful = gate(table(-0.25), None)
    assert harmful.verdict == "reject"
    # The clamp of the released reading hides the harm; that is why the gate's default is signed.
    assert gate(table(-0.14), None, reading="released").difference.estimate > 0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda s: replace(s, provenance=provenance(judge="other")), "judge"),
        (lambda s: replace(s, rows=s.rows[:390]), "images are scored"),
        (lambda s: replace(s, rows=s.rows[:-25]), "Too few images in rain"),
        (
            lambda s: replace(
                s, rows=tuple(r for r in s.rows if r.degradation != Degradation.RAIN)
            ),
            "Only 8 task",
        ),
        (
            lambda s: edit(
                s, lambda i, r: replace(r, outcome="judge-failed-restored") if i < 6 else r
            ),
            "The judge failed on 6",
        ),
    ],
)
def test_what_makes_a_comparison_invalid_is_inconclusive(
    change: Callable[[ScoreTable], ScoreTable], word: str
) -> None:
    found = gate(change(table(0.05, seed=1)), table(0.0, seed=2))
    assert found.verdict == "inconclusive"
    assert any(word in reason for reason in found.reasons), found.reasons


@pytest.mark.parametrize(
    "repeat", [Agreement(59, 1, 1), Agreement(60, 0.94, 1), Agreement(60, 0.96, 0.85)]
)
def test_a_judge_that_does_not_repeat_itself_is_inconclusive(repeat: Agreement) -> None:
    assert decide(table(0.05), table(0.0), repeat, GATE).verdict == "inconclusive"


def test_a_taken_down_image_is_inconclusive() -> None:
    found = decide(table(0.05), table(0.0), FINE, GATE, taken_down=["a" * 64])
    assert found.verdict == "inconclusive"
    assert "taken-down" in found.reasons[0]


def test_a_judge_failure_on_either_side_leaves_the_image_out_of_both() -> None:
    champion = edit(table(0.0), lambda i, r: _lost(r, "degraded") if i < 3 else r)
    candidate = edit(table(0.03), lambda i, r: _lost(r, "restored") if i == 9 else r)
    found = gate(candidate, champion)
    assert found.excluded == 4
    assert found.difference.n == len(candidate.rows) - 4
    assert found.bounds[0] < found.difference.estimate < found.bounds[1]


def test_a_missing_prediction_counts_as_zero() -> None:
    lost = edit(
        table(0.03),
        lambda i, r: replace(r, outcome="restorer-failed", severity_restored=None, distance=None),
    )
    assert gate(lost, None).difference.estimate == 0.0
    assert gate(lost, table(0.0)).verdict == "reject"


def test_strict_mode_asks_more() -> None:
    few = {"min_images": 1, "min_images_per_task": 1}
    gains = dict.fromkeys(Degradation, 0.06) | {Degradation.HAZE: -0.02}
    candidate, champion = table(gains, 30, seed=1), table(0.0, 30, seed=2)
    assert gate(candidate, champion, **few).verdict == "promote"
    strict = gate(candidate, champion, strict=True, strict_margin=0.03, **few)
    assert strict.verdict == "inconclusive"
    assert "haze" in strict.reasons[0]


def test_weaker_settings_are_named() -> None:
    fewer = {"bootstrap": (1000, 10000), "permutations": (1000, 10000)}
    assert gate(table(0.03), None).relaxed == fewer
    weaker = {"min_images": 12, "veto_difference": 0.2, "veto_alpha": 1e-9, "takedown_bits": 0}
    assert gate(table(0.03), None, **weaker).relaxed.keys() == fewer.keys() | weaker.keys()
    assert decide(table(0.03), None, FINE, Gate()).relaxed == {}


def test_a_task_of_one_image_has_no_interval_and_stops_only_strict_mode() -> None:
    """As of somebody's own photos, where evaluation takes what was held out."""

    def without(scores: ScoreTable) -> ScoreTable:
        kept = [row for row in scores.rows if row.degradation != "haze" or row.name == "haze/0"]
        return replace(scores, rows=tuple(kept))

    candidate, champion = without(table(0.03, seed=1)), without(table(0.0, seed=2))
    few: dict[str, object] = {"min_images_per_task": 1, "veto_difference": 9.0}
    assert gate(candidate, champion, **few).verdict == "promote"
    strict = gate(candidate, champion, strict=True, **few)
    assert strict.verdict == "inconclusive"
    assert "haze (too few images)" in strict.reasons[0]


def test_images_destroyed_beyond_a_distance_of_1_are_no_merit() -> None:
    """LPIPS of noise against a photo is above 1; so 1 - LPS is negative, as RS is."""

    def destroy(index: int, row: ImageScore) -> ImageScore:
        return replace(row, severity_degraded=3.0, severity_restored=1.0, distance=1.25)

    destroyed = edit(table(0.0), destroy)
    assert gate(destroyed, None).verdict == "reject"
    assert gate(destroyed, edit(table(0.0), lambda i, r: replace(r, distance=0.99))).verdict != (
        "promote"
    )
    half = edit(destroyed, lambda i, r: _lost(r, "restored") if i % 2 else r)
    found = gate(half, None)
    assert found.bounds[0] <= found.difference.estimate <= found.bounds[1] <= 0.0
