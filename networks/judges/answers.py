"""What a judge says, checked: severities are numbers in 1..5, or there is a failure in words."""

from collections.abc import Sequence

import numpy as np

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from catalog.log import logger
from networks.interfaces import Judge, Judgement

SILENT = 16
"""So many questions in a row without a single answer, and there is no judge."""
LEAST_SIDE = 64
LONGEST_ASPECT = 100
"""A judge may refuse images with a shorter side, in pixels, or a larger ratio of the sides: that
these have no answer says nothing of it."""
SAID = 8
"""So many different causes of failures are logged."""


def ask(judge: Judge, images: Sequence[Rgb], degradation: Degradation) -> list[Judgement]:
    """Judge a batch; an answer outside 1..5 or that is no number is a failure, not a score."""
    answers = judge.judge(images, degradation)
    if len(answers) != len(images):
        raise RuntimeError(
            f"{judge.identity} gave {len(answers)} answers for {len(images)} images."
        )
    return [_sane(answer) for answer in answers]


class Silence:
    """Ends work whose judge is gone, which would else count every image as its failure."""

    def __init__(self, judge: str, setting: str) -> None:
        """`judge` is the name that `setting` gives it."""
        self._judge, self._setting = judge, setting
        self._length = 0
        self._causes: set[str | None] = set()

    def hear(self, images: Sequence[Rgb], answers: Sequence[Judgement]) -> None:
        """Log what failed and why. Raises `UserError` at `SILENT` failures in a row."""
        for image, answer in zip(images, answers, strict=True):
            short, long = sorted(image.shape[:2])
            if short < LEAST_SIDE or long > LONGEST_ASPECT * short:
                continue
            self._length = 0 if answer.severity is not None else self._length + 1
            if answer.severity is not None:
                continue
            if len(self._causes) < SAID and answer.failure not in self._causes:
                self._causes.add(answer.failure)
                logger(__name__).warning("judge-failed", cause=answer.failure)
            if self._length >= SILENT:
                raise UserError(
                    f"The judge {self._judge} left {SILENT} questions in a row without an answer: "
                    f"{answer.failure}.",
                    f"See that it runs and that {self._setting} names it; then run the same "
                    "command again. What it answered is kept.",
                )


def _sane(answer: Judgement) -> Judgement:
    if answer.severity is None:
        return answer if answer.failure else Judgement(None, failure="no answer")
    for name in ("severity", "presence"):
        value = getattr(answer, name)
        if not np.isfinite(value) or not 1.0 <= value <= 5.0:
            return Judgement(None, failure=f"{name} {value} is outside 1..5")
    return answer
