"""From scores to a verdict: the rules, in the order in which they are tried."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from catalog.degradations import Degradation
from catalog.settings.screen import Screen
from networks.interfaces import Judgement


@dataclass(frozen=True)
class Decision:
    """What screening says of one image; the fields are those of `schemas.SCREENING`."""

    degradation: Degradation | None
    also: tuple[Degradation, ...]
    confidence: float | None
    severity: float | None
    verdict: str
    reason: str


def decide(
    size: tuple[int, int],
    judgements: Mapping[Degradation, Judgement],
    watermark: float,
    settings: Screen,
) -> Decision:
    """Apply the rules to an image of `size` (height, width).

    1. "too-small": the shorter side is below min_side. 2. "watermark": above max_watermark.
    3. "judge-failed": no judgement has a severity. 4. "severity": a degradation is at or below its
    threshold, verdict degraded. 5. "clean": no severity is below clean_at and the image is large
    enough. 6. "clean-but-small". 7. "unsure": what lies between.

    The named degradation is the one with the most evidence, (5 - severity) * confidence, among
    those present, else among all.
    """
    answered = {d: j for d, j in judgements.items() if j.severity is not None}
    present = {d: j for d, j in answered.items() if is_present(d, j, settings)}
    ranked = sorted(present or answered, key=lambda d: -evidence(answered[d]))
    top = ranked[0] if ranked else None
    also = tuple(d for d in ranked[1:] if d in present)
    strongest = answered[top] if top is not None else None
    least = min((j.severity for j in answered.values() if j.severity is not None), default=5.0)
    if min(size) < settings.min_side:
        verdict, reason = "drop", "too-small"
    elif watermark > settings.max_watermark:
        verdict, reason = "drop", "watermark"
    elif strongest is None:
        verdict, reason = "drop", "judge-failed"
    elif present:
        verdict, reason = "degraded", "severity"
    elif least >= settings.clean_at and min(size) >= settings.clean_min_side:
        verdict, reason = "clean", "clean"
    elif least >= settings.clean_at:
        verdict, reason = "drop", "clean-but-small"
    else:
        verdict, reason = "drop", "unsure"
    return Decision(
        top,
        also,
        strongest.confidence if strongest else None,
        strongest.severity if strongest else None,
        verdict,
        reason,
    )


def evidence(judgement: Judgement) -> float:
    """How much speaks for a degradation, 0 .. 4."""
    return 0.0 if judgement.severity is None else (5 - judgement.severity) * judgement.confidence


def is_present(degradation: Degradation, judgement: Judgement, settings: Screen) -> bool:
    """Whether the judge finds the degradation, and is sure enough of it."""
    return (
        judgement.severity is not None
        and judgement.severity <= settings.threshold(degradation)
        and judgement.confidence >= settings.min_confidence
    )


RULES = {
    "too-small": "the shorter side is below min_side",
    "watermark": "the watermark probability is above max_watermark",
    "judge-failed": "the judge gave no severity for any degradation",
    "severity": "at least one severity is at or below its threshold (degraded_at)",
    "clean": "no severity is below clean_at, and the image is large enough",
    "clean-but-small": "no severity is below clean_at, but the image is below clean_min_side",
    "unsure": "the lowest severity lies between degraded_at and clean_at",
}


def explanation(name: str, row: Mapping[str, Any], settings: Screen) -> list[str]:
    """Lines for a person: the verdict, the rule, and every score against its threshold."""
    lines = [f"{name}: {row['verdict']}, by rule {row['reason']}: {RULES[row['reason']]}."]
    scores = row["scores"]
    found = [d for d in Degradation if f"severity/{d}" in scores]
    for degradation in sorted(found, key=lambda d: scores[f"severity/{d}"]):
        severity, threshold = scores[f"severity/{degradation}"], settings.threshold(degradation)
        mark = "*" if severity <= threshold else " "
        named = "  <- named" if degradation == row["degradation"] else ""
        lines.append(
            f"  {mark} {degradation:12} severity {severity:.2f} (present at {threshold:g}), "
            f"sure {scores[f'confidence/{degradation}']:.0%}{named}"
        )
    lines.append(
        f"    watermark    {row['watermark']:.2f} (dropped above {settings.max_watermark:g})"
    )
    return lines
