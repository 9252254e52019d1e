"""Screening of decoded images, in batches."""

from collections.abc import Sequence
from typing import Any

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.screen import Screen
from curation.screen.rules import decide
from curation.screen.watermark import watermark_probability
from networks.interfaces import Judge

VERSION = "1"
"""Of the rules and the watermark detector; results of another version are computed again."""


def screen_images(images: Sequence[Rgb], judge: Judge, settings: Screen) -> list[dict[str, Any]]:
    """Rows of `schemas.SCREENING` without image_id, one an image."""
    judged = {degradation: judge.judge(images, degradation) for degradation in Degradation}
    rows = []
    for index, image in enumerate(images):
        judgements = {degradation: answers[index] for degradation, answers in judged.items()}
        watermark = watermark_probability(image)
        decision = decide((image.shape[0], image.shape[1]), judgements, watermark, settings)
        scores = {"watermark": watermark}
        for degradation, judgement in judgements.items():
            if judgement.severity is not None:
                scores[f"severity/{degradation}"] = judgement.severity
                scores[f"confidence/{degradation}"] = judgement.confidence
        rows.append(
            {
                "degradation": decision.degradation,
                "also": list(decision.also),
                "confidence": decision.confidence,
                "severity": decision.severity,
                "watermark": watermark,
                "verdict": decision.verdict,
                "reason": decision.reason,
                "scores": scores,
            }
        )
    return rows


def refused_row(reason: str) -> dict[str, Any]:
    """The row of an image that cannot be decoded."""
    return {"also": [], "verdict": "drop", "reason": reason, "scores": {}}
