"""What a judge says, checked: severities are numbers in 1..5, or there is a failure in words."""

from collections.abc import Sequence

import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from networks.interfaces import Judge, Judgement


def ask(judge: Judge, images: Sequence[Rgb], degradation: Degradation) -> list[Judgement]:
    """Judge a batch; an answer outside 1..5 or that is no number is a failure, not a score."""
    answers = judge.judge(images, degradation)
    if len(answers) != len(images):
        raise RuntimeError(
            f"{judge.identity} gave {len(answers)} answers for {len(images)} images."
        )
    return [_sane(answer) for answer in answers]


def _sane(answer: Judgement) -> Judgement:
    if answer.severity is None:
        return answer if answer.failure else Judgement(None, failure="no answer")
    for name in ("severity", "presence"):
        value = getattr(answer, name)
        if not np.isfinite(value) or not 1.0 <= value <= 5.0:
            return Judgement(None, failure=f"{name} {value} is outside 1..5")
    return answer
