"""The gate: promote, reject or inconclusive, with its reasons; only `promote` promotes.

Validity is asked first (same judge, enough images, a judge that repeats itself): where it fails
there is no verdict but inconclusive. Then a task that is clearly worse vetoes, then the interval
of the mean difference decides. Without a champion the other side is the unrestored input, whose
score is 0 by definition (RS = 0, LPS = 0).

The lower bound that a promotion needs gets stricter with each further candidate that is compared
with the same champion (`evaluation.spending`).
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from catalog.degradations import Degradation
from catalog.settings.evaluation import Gate
from evaluation.scores import JUDGE_FAILURES, ImageScore, ScoreTable, row_range
from evaluation.spending import percent, resamples, spent_by
from evaluation.statistics import (
    Agreement,
    Interval,
    expanded_tail,
    holm,
    mean_interval,
    sign_flip_p,
    tally,
)

PROMOTE, REJECT, INCONCLUSIVE = "promote", "reject", "inconclusive"
WEAKER_IF_LOWER = (
    "min_images",
    "min_images_per_task",
    "min_tasks",
    "min_repeated",
    "repeat_agreement",
    "repeat_kappa",
    "confidence",
    "min_difference",
    "bootstrap",
    "veto_alpha",
    "permutations",  # few of them cannot reach `veto_alpha` after Holm
    "takedown_bits",
)
WEAKER_IF_HIGHER = ("max_judge_failures", "veto_difference", "veto_min_images", "strict_margin")


@dataclass(frozen=True)
class TaskResult:
    """Candidate against the other side on one task."""

    difference: Interval
    worse_p: float
    """One-sided sign-flip p of being worse, adjusted by Holm over the tasks."""
    win: int
    tie: int
    loss: int


@dataclass(frozen=True)
class Verdict:
    """What the gate says, and all that it rests on."""

    verdict: str
    reasons: tuple[str, ...]
    against: str
    reading: str
    difference: Interval
    """Its lower bound is at the one-sided level `confidence`, its upper one at the settings'."""
    candidate: int
    """Which one it is, of those compared with this champion; from 1."""
    confidence: float
    shared: bool
    """Whether all of those share one chance of error, so that `confidence` rises."""
    better_p: float
    """One-sided sign-flip p of being better: a check on the bootstrap, not part of the rule."""
    rs_difference: Interval
    bounds: tuple[float, float]
    """Of the mean difference over all images, whatever the judge failed to say."""
    tasks: Mapping[Degradation, TaskResult] = field(default_factory=dict)
    excluded: int = 0
    left_out: int | None = 0
    """Images that the other side learned from; None where that is not on record."""
    relaxed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """Settings weaker than those for the paper's benchmark: name to (value, default)."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for tags and records."""
        return {
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "against": self.against,
            "reading": self.reading,
            "difference": self.difference.as_json(),
            "candidate": self.candidate,
            "confidence": round(self.confidence, 8),
            "better_p": self.better_p,
            "left_out": self.left_out,
            "tasks": {
                task.value: {"difference": result.difference.as_json(), "worse_p": result.worse_p}
                for task, result in self.tasks.items()
            },
            "relaxed": {name: list(pair) for name, pair in self.relaxed.items()},
        }


def relaxed(settings: Gate) -> dict[str, tuple[Any, Any]]:
    """Settings that are weaker than the defaults, which are for a benchmark of 464 images."""
    defaults, found = Gate(), {}
    for names, sign in ((WEAKER_IF_LOWER, 1), (WEAKER_IF_HIGHER, -1)):
        for name in names:
            value, default = getattr(settings, name), getattr(defaults, name)
            if sign * value < sign * default:
                found[name] = (value, default)
    for name in ("reading", "confidence_for"):
        if getattr(settings, name) != getattr(defaults, name):
            found[name] = (getattr(settings, name), getattr(defaults, name))
    return found


def decide(
    candidate: ScoreTable,
    champion: ScoreTable | None,
    repeat: Agreement,
    settings: Gate,
    champion_name: str = "the champion",
    taken_down: Sequence[str] = (),
    obstacles: Sequence[str] = (),
    turn: int = 1,
    seen: Set[str] | None = frozenset(),
) -> Verdict:
    """Compare; `taken_down` names images that the candidate learned from and must not have.

    `obstacles` are further reasons, found by the caller, why nothing can be said. `turn` is the
    candidate's number among those compared with this champion. `seen` names images that the
    champion learned from, which are left out; None where nobody knows.
    """
    against = champion_name if champion is not None else "the unrestored input"
    pairs = _pairs(candidate, champion)
    rows = [pair for pair in pairs if pair[0].image_id not in (seen or ())]
    usable = [(mine, theirs) for mine, theirs in rows if mine.counted and _counted(theirs)]
    names = [mine.degradation for mine, _ in usable]
    differences = np.array([_value(m, settings) - _value(t, settings) for m, t in usable])
    rs = np.array([m.rs - (t.rs if t else 0.0) for m, t in usable])
    level = 2 * settings.confidence - 1  # two-sided level with the one-sided bounds as its ends

    def interval(values: np.ndarray, strata: Sequence[str]) -> Interval:
        return mean_interval(values, strata, settings.bootstrap, settings.seed, level)

    overall = interval(differences, names)
    confidence = _confidence(settings, turn)
    if confidence != settings.confidence and overall.low is not None:
        tail = expanded_tail(1 - confidence, names)
        samples = resamples(tail, settings.bootstrap)
        stricter = mean_interval(differences, names, samples, settings.seed, 1 - 2 * tail)
        overall = replace(overall, low=stricter.low)
    tasks = _tasks(names, differences, settings, interval)
    problems = [
        *obstacles,
        *_invalid(candidate, champion, rows, usable, settings, champion_name),
        *_unrepeatable(repeat, settings),
    ]
    if taken_down:
        problems.append(
            f"The model learned from {len(taken_down)} taken-down image(s), such as "
            f"{taken_down[0][:12]}; train it again on a dataset without them."
        )
    if problems:
        verdict, reasons = INCONCLUSIVE, problems
    else:
        said = _said(overall, settings, against, turn, confidence)
        verdict, reasons = _judged(overall, tasks, settings, said)
    return Verdict(
        verdict,
        tuple(reasons),
        against,
        settings.reading,
        overall,
        turn,
        confidence,
        settings.confidence_for == "champion",
        sign_flip_p(differences, settings.permutations, settings.seed),
        interval(rs, names),
        _bounds(rows, settings),
        tasks,
        len(rows) - len(usable),
        None if seen is None else len(pairs) - len(rows),
        relaxed(settings),
    )


def _pairs(
    candidate: ScoreTable, champion: ScoreTable | None
) -> list[tuple[ImageScore, ImageScore | None]]:
    if champion is None:
        return [(row, None) for row in candidate.rows]
    theirs = {(row.image_id, row.degradation): row for row in champion.rows}
    return [
        (row, theirs[key])
        for row in candidate.rows
        if (key := (row.image_id, row.degradation)) in theirs
    ]


def _counted(row: ImageScore | None) -> bool:
    return row is None or row.counted


def _value(row: ImageScore | None, settings: Gate) -> float:
    if row is None:
        return 0.0
    return row.released if settings.reading == "released" else row.signed


def _tasks(
    names: Sequence[Degradation], differences: np.ndarray, settings: Gate, interval: Any
) -> dict[Degradation, TaskResult]:
    labels = np.array([name.value for name in names])
    present = [task for task in Degradation if task in set(names)]
    mine = {task: differences[labels == task.value] for task in present}
    worse = holm(
        {
            task: sign_flip_p(-values, settings.permutations, settings.seed)
            for task, values in mine.items()
        }
    )
    found = {}
    for task, values in mine.items():
        signs = tally(values)
        found[task] = TaskResult(
            interval(values, [task.value] * len(values)),
            worse[task],
            signs.win,
            signs.tie,
            signs.loss,
        )
    return found


def _invalid(
    candidate: ScoreTable,
    champion: ScoreTable | None,
    rows: Sequence[tuple[ImageScore, ImageScore | None]],
    usable: Sequence[tuple[ImageScore, ImageScore | None]],
    settings: Gate,
    champion_name: str,
) -> list[str]:
    found = []
    if champion is not None:
        for what in champion.provenance.mismatch(candidate.provenance):
            found.append(f"The scores of {champion_name} cannot be compared, {what}.")
    failed = sum(
        mine.outcome in JUDGE_FAILURES or (theirs is not None and theirs.outcome in JUDGE_FAILURES)
        for mine, theirs in rows
    )
    if rows and failed / len(rows) > settings.max_judge_failures:
        found.append(
            f"The judge failed on {failed} of {len(rows)} images, more than "
            f"{settings.max_judge_failures:.0%}."
        )
    if len(usable) < settings.min_images:
        found.append(
            f"Only {len(usable)} images are scored on both sides; {settings.min_images} are needed."
        )
    by_task = dict.fromkeys(candidate.tasks(), 0)
    for mine, _ in usable:
        by_task[mine.degradation] += 1
    few = [f"{task} {n}" for task, n in by_task.items() if n < settings.min_images_per_task]
    if few:
        found.append(
            f"Too few images in {', '.join(few)}; {settings.min_images_per_task} a task are needed."
        )
    covered = sum(n > 0 for n in by_task.values())
    if covered < settings.min_tasks:
        found.append(f"Only {covered} task(s) are scored; {settings.min_tasks} are needed.")
    return found


def _unrepeatable(repeat: Agreement, settings: Gate) -> list[str]:
    if repeat.images < settings.min_repeated:
        return [
            f"The judge's repeat test has {repeat.images} images; {settings.min_repeated} are "
            "needed (evaluate.repeat_images)."
        ]
    if repeat.images == 0:
        return []
    found = []
    if repeat.same < settings.repeat_agreement:
        found.append(
            f"The judge repeats itself on {repeat.same:.1%} of {repeat.images} images; "
            f"{settings.repeat_agreement:.0%} are needed."
        )
    if repeat.kappa < settings.repeat_kappa:
        found.append(
            f"The judge's quadratic kappa with itself is {repeat.kappa:.3f}; "
            f"{settings.repeat_kappa} is needed."
        )
    return found


def _judged(
    overall: Interval, tasks: Mapping[Degradation, TaskResult], settings: Gate, said: str
) -> tuple[str, list[str]]:
    vetoes = []
    for task, result in tasks.items():
        estimate = result.difference.estimate
        if estimate < 0 and result.worse_p < settings.veto_alpha:
            vetoes.append(f"{task} is worse by {-estimate:.3f} (p {result.worse_p:.3f} by Holm).")
        elif estimate <= -settings.veto_difference and (
            result.difference.n >= settings.veto_min_images or _below(result.difference)
        ):
            vetoes.append(
                f"{task} is worse by {-estimate:.3f}, beyond the limit of "
                f"{settings.veto_difference}."
            )
    if vetoes:
        return REJECT, vetoes
    if overall.low is None or overall.high is None:
        return INCONCLUSIVE, [f"{said} There are too few images for an interval."]
    if overall.low > 0 and overall.estimate >= settings.min_difference:
        unproven = [
            f"{task} ({_bound(result.difference)})"
            for task, result in tasks.items()
            if result.difference.low is None or result.difference.low <= -settings.strict_margin
        ]
        if settings.strict and unproven:
            return INCONCLUSIVE, [
                f"{said} Strict mode: not shown to be no worse than {settings.strict_margin} on "
                f"{', '.join(unproven)}."
            ]
        return PROMOTE, [said]
    if overall.high < settings.min_difference or overall.high <= 0:
        return REJECT, [f"{said} It is not better by {settings.min_difference} or more."]
    return INCONCLUSIVE, [f"{said} The interval holds both better and not better."]


def _bound(difference: Interval) -> str:
    return "too few images" if difference.low is None else f"{difference.low:+.3f}"


def _below(difference: Interval) -> bool:
    """Whether all of the interval is worse: then few images are enough."""
    return difference.high is not None and difference.high < 0


def _confidence(settings: Gate, turn: int) -> float:
    """Of the lower bound of candidate number `turn`."""
    if settings.confidence_for == "candidate":
        return settings.confidence
    return 1 - spent_by(turn, 1 - settings.confidence)


def _said(overall: Interval, settings: Gate, against: str, turn: int, confidence: float) -> str:
    direction = "above" if overall.estimate >= 0 else "below"
    said = f"The mean score is {abs(overall.estimate):.4f} {direction} {against}"
    if overall.low is None or overall.high is None:
        return f"{said}."
    said += (
        f" (one-sided bounds {overall.low:+.4f} at {percent(confidence)} and "
        f"{overall.high:+.4f} at {percent(settings.confidence)}"
    )
    if settings.confidence_for == "candidate":
        return f"{said})."
    return f"{said}; candidate {turn} against it)."


def _bounds(
    rows: Sequence[tuple[ImageScore, ImageScore | None]], settings: Gate
) -> tuple[float, float]:
    low = high = 0.0
    for mine, theirs in rows:
        worst, best = row_range(mine, settings.reading)
        other_worst, other_best = (
            (0.0, 0.0) if theirs is None else row_range(theirs, settings.reading)
        )
        low, high = low + worst - other_best, high + best - other_worst
    return (low / len(rows), high / len(rows)) if rows else (float("nan"), float("nan"))
