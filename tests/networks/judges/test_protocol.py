"""What the model is asked and how its answer is read: pinned, since any change is another judge."""

import hashlib

import numpy as np
import pytest

from catalog.degradations import Degradation
from catalog.errors import UserError
from networks.judges.vlm.prompts import prompt_hash, question
from networks.judges.vlm.protocol import prepare, read_answer


def test_prompts_are_pinned() -> None:
    assert question("released", Degradation.LOW_LIGHT) == (
        "Evaluate ONLY whether the image exhibits the degradation type “low-light” and how severe "
        "it is. Ignore any quality aspects unrelated to this degradation and any semantic "
        "content.\nMethod: Divide the image into regions. Inspect each region for “low-light”, "
        "estimate the proportion of affected area and its severity, then aggregate to a SINGLE "
        "INTEGER score. Do NOT output your reasoning.\nScale (integers 1-5):\n5 = No “low-light”\n"
        "4 = Mild degradation\n3 = Moderate degradation\n2 = Severe degradation\n"
        "1 = Extreme degradation\nOutput: Return ONLY “退化分数：<1-5>”. Example: 退化分数：4"
    )
    digests = {
        name: hashlib.sha256(question(name, Degradation.RAIN).encode()).hexdigest()[:16]
        for name in ("released", "paper")
    }
    assert digests == {"released": "c418d9756fa9a2c8", "paper": "f51877629eacadc2"}
    assert prompt_hash("released") != prompt_hash("paper")
    # Answers under another protocol (size, grid, length, reading) must not be taken for these.
    assert prompt_hash("released")[:16] == "e24d9b946a1124a6"
    with pytest.raises(UserError, match="Did you mean released"):
        question("relased", Degradation.RAIN)


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("退化分数：4", 4),
        ("退化分数: 2。", 2),
        ("退化分数：3 because 5", 3),
        ("The score is 1", 1),
        ("5\n", 5),
        ("10", None),
        ("3/5", 5),
        ("<4>", None),
        ("退化分数：6", None),
        ("", None),
    ],
)
def test_answers_are_read_as_the_released_evaluator_reads_them(
    text: str, severity: int | None
) -> None:
    assert read_answer(text) == severity


@pytest.mark.parametrize(
    ("size", "prepared"),
    [
        ((512, 512), (504, 504)),
        ((900, 1600), (672, 392)),
        ((1, 1), (504, 504)),
        ((1, 4000), (32368, 28)),
    ],
)
def test_images_are_prepared_to_about_512_squared_on_a_grid_of_28(
    size: tuple[int, int], prepared: tuple[int, int]
) -> None:
    image = prepare(np.zeros((*size, 3), np.uint8))
    assert image.size == prepared
