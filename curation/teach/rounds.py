"""Asking teacher after teacher until a target is sound by the pair stage's own check.

In a round every open question goes to its next teacher, in batches and on all devices, and what
came of it is checked. Attempts and checks are kept, each by itself, so that a killed run, other
limits of the pair stage or a longer pool ask no teacher twice; the pair stage finds its
measurements done.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalog.degradations import Degradation
from catalog.images import Rgb, decode
from catalog.settings.pairs import Pair, Teach
from curation.pair.checking import Candidate, Checker, is_judged
from curation.pair.measures import Measures
from curation.pair.verdict import verdict_of
from curation.teach.attempts import MADE, TOO_LARGE, Attempt, Attempting, is_settled
from curation.teach.teachers import API, LIGHT
from curation.units import Made, compute, path_of, saved


@dataclass
class Question:
    """An image and a task, with the teachers to ask in their order."""

    image_id: str
    task: Degradation
    names: Sequence[str]
    attempts: list[Attempt] = field(default_factory=list)
    rejected: dict[int, str] = field(default_factory=dict)
    """Number of an attempt to the reason why another teacher was asked."""
    answered: bool = False


@dataclass(frozen=True)
class Target(Candidate):
    """A pair whose clean side lies in the file of an attempt."""

    path: Path


class TargetChecker(Checker):
    """The pair stage's measures, before the target is in a shard."""

    def clean(self, unit: Candidate) -> Rgb:
        """From the attempt's file."""
        assert isinstance(unit, Target)
        return decode(saved(unit.path).images[0][0])


@dataclass(frozen=True)
class Rounds:
    """Where attempts and checks are kept, and by which rules a target is sound."""

    worker: Attempting
    settings: Teach
    attempts: Path
    raw: Path
    pair: Pair
    checks: Path

    def ask(self, questions: Sequence[Question]) -> None:
        """Fill in the attempts of all questions."""
        for number in range(self.settings.candidates):
            asking = [q for q in questions if not q.answered and number < len(q.names)]
            if not asking:
                return
            tried = [Attempt(q.image_id, q.task, q.names[number]) for q in asking]
            rows = self._make(tried)
            unsure: list[tuple[Question, dict[str, Any]]] = []
            for question, attempt in zip(asking, tried, strict=True):
                question.attempts.append(attempt)
                row = rows[attempt]
                more = number + 1 < min(len(question.names), self.settings.candidates)
                if row["outcome"] == TOO_LARGE or not more:
                    question.answered = True
                elif row["outcome"] == MADE and self.settings.until_sound:
                    unsure.append((question, row))
            self._check(number, unsure)

    def results(self, question: Question) -> Iterator[Made]:
        """What came of a question, attempt by attempt."""
        for number, made in enumerate(
            compute(question.attempts, self.worker, self.attempts, "teach", processes=1)
        ):
            reason = question.rejected.get(number)
            (row,) = made.rows
            if reason:
                row = row | {"detail": f"asked on: {reason}"}
            yield Made(made.images, (row,))

    def _make(self, attempts: Sequence[Attempt]) -> dict[Attempt, dict[str, Any]]:
        by_kind: dict[str, list[Attempt]] = {"api": [], "light": [], "network": []}
        # In the order of teachers and tasks, so that a batch is of one teacher and one task.
        for one in sorted(attempts, key=lambda a: (a.teacher, a.degradation, a.image_id)):
            light = "light" if one.teacher in LIGHT else "network"
            by_kind["api" if one.teacher.startswith(API) else light].append(one)
        devices = len(self.worker.teachers.devices()) if by_kind["network"] else 1
        how: dict[str, dict[str, Any]] = {
            "light": {},
            # Those behind an API only wait, so threads serve them.
            "api": {
                "processes": 1,
                "threads": self.settings.api.concurrency,
                "is_final": is_settled,
            },
            "network": {"processes": 1, "threads": devices, "batch": self.settings.batch},
        }
        rows: dict[Attempt, dict[str, Any]] = {}
        for kind, some in by_kind.items():
            made = compute(some, self.worker, self.attempts, "teach", **how[kind])
            rows |= {one: result.rows[0] for one, result in zip(some, made, strict=True)}
        return rows

    def _check(self, number: int, unsure: Sequence[tuple[Question, dict[str, Any]]]) -> None:
        targets = [
            Target(
                question.image_id,
                row["clean_id"],
                question.task,
                path_of(self.attempts, self.worker.key(question.attempts[number])),
            )
            for question, row in unsure
        ]
        if targets:
            self.worker.teachers.release()
        checker = TargetChecker(self.raw, self.raw, self.pair)
        processes = checker.instruments.processes if targets else None
        results = compute(targets, checker, self.checks, "check", processes, is_final=is_judged)
        for (question, _), target, result in zip(unsure, targets, results, strict=True):
            measures = Measures(**result.rows[0])
            verdict, reason = verdict_of(measures, target.degradation, self.pair)
            if verdict == "keep":
                question.answered = True
            else:
                question.rejected[number] = reason
