"""From what was found of an image to a verdict: the rules, in the order in which they are tried."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from catalog.degradations import Degradation
from catalog.settings.screen import Screen
from curation.screen.forms import Form
from curation.screen.prompts import Reading
from curation.screen.quality import Quality
from networks.interfaces import Judgement
from networks.watermark.kinds import NO_MARK, Kind, Mark


@dataclass(frozen=True)
class Found:
    """All that the networks and detectors say of one image."""

    quality: Quality
    judgements: Mapping[Degradation, Judgement] = field(default_factory=dict)
    """Of all nine where the judge decides, of those that the prompts name where prompts do."""
    mark: Mark = NO_MARK
    forms: Mapping[Form, float] = field(default_factory=dict)
    content: float | None = None
    """None where no filter is installed."""
    reading: Reading | None = None
    """None where the judge decides."""


@dataclass(frozen=True)
class Decision:
    """What screening says of one image; the fields are those of `schemas.SCREENING`."""

    degradation: Degradation | None
    also: tuple[Degradation, ...]
    confidence: float | None
    severity: float | None
    verdict: str
    reason: str


JUDGE_FAILED = "judge-failed"
TRACES = "traces"

RULES = {
    "too-small": "the shorter side is below min_side",
    "blank": "nothing to be seen: one colour, or one that changes evenly (min_relief)",
    "content": "the content filter's score is above max_content",
    Kind.WATERMARK: "a mark (max_watermark) that names an owner (max_watermark_naming_owner), is "
    "repeated, lies across the middle or cannot be read",
    Kind.TEXT: "a mark (max_watermark) whose writing is a caption, a date or the like",
    Kind.LOGO: "a mark (max_watermark) that is a drawn sign, with or without writing beside it",
    "border": "a plain border on two sides at least (max_border)",
    "collage": "a cut from edge to edge between two pictures (max_collage)",
    "screenshot": "it looks like a screenshot, a page or a chart (max_screenshot)",
    "drawing": "it looks like a drawing (max_drawing)",
    JUDGE_FAILED: "the judge gave no severity where one was needed",
    "severity": "at least one presence is at or below its threshold (degraded_at)",
    "prompt": "at least one margin over a clean photo is at or above its threshold (prompt_margin)",
    "too-mild": "prompts name what the judge finds milder than degraded_at, or is not sure of",
    "unsure": "the strongest degradation lies between its threshold and that of clean photos, or "
    "the judge is not sure of it (min_confidence)",
    TRACES: "no degradation is near its threshold, but the judge's severity of one is below "
    "clean_severity",
    "clean": "no degradation is near its threshold, and it is good enough as a source",
    "clean-but-small": "no degradation, but the shorter side is below clean_min_side",
    "clean-but-noisy": "no degradation, but noisier than clean_max_noise",
    "clean-but-soft": "no degradation, but softer than clean_max_softness",
    "clean-but-compressed": "no degradation, but blockier than clean_max_blockiness",
}
"""Reasons in words; all but "severity", "prompt" (degraded) and "clean" mean the verdict drop."""

REFUSED = {
    "not-an-image": "no image in a format that is read, whatever the file is called",
    "too-many-pixels": "more pixels than are decoded",
    "broken-image": "an image that ends early or is damaged",
}
"""Reasons of files whose pixels could not be read, in words."""


def decide(found: Found, settings: Screen) -> Decision:
    """Apply the rules in the order of `RULES`.

    The named degradation is, of those present, else of all, the one with the lowest presence, or
    where prompts decide the largest margin. There, what prompts name is present where the judge
    agrees. The confidence has no say in the order: it is also that of an absence, and presences are
    calibrated to be comparable.
    """
    present, ranked = _ranked(found, settings)
    top = ranked[0] if ranked else None
    judged = found.judgements.get(top) if top is not None else None
    verdict, reason = _verdict(found, present, settings)
    confidence = judged.confidence if judged and judged.severity is not None else None
    if found.reading is not None and top is not None:
        confidence = found.reading.shares[top]
    return Decision(
        top,
        tuple(d for d in ranked[1:] if d in present),
        confidence,
        judged.severity if judged else None,
        verdict,
        reason,
    )


def _ranked(found: Found, settings: Screen) -> tuple[frozenset[Degradation], list[Degradation]]:
    """Those present, and they or else all by falling evidence."""
    answered = {d: j for d, j in found.judgements.items() if j.severity is not None}
    present = [d for d, judgement in answered.items() if is_present(d, judgement, settings)]
    if found.reading is not None:
        margins = found.reading.margins
        named = _named(found.reading, settings)
        present = [d for d in present if d in named]
        return frozenset(present), sorted(
            present or named or Degradation, key=lambda d: -margins[d]
        )
    return frozenset(present), sorted(present or answered, key=lambda d: answered[d].presence or 5)


def _named(reading: Reading, settings: Screen) -> list[Degradation]:
    """What the prompts name, and the judge is asked about."""
    return [d for d in Degradation if reading.margins[d] >= settings.margin(d)]


def _verdict(found: Found, present: frozenset[Degradation], settings: Screen) -> tuple[str, str]:
    limits = {
        Form.BORDER: settings.max_border,
        Form.COLLAGE: settings.max_collage,
        Form.SCREENSHOT: settings.max_screenshot,
        Form.DRAWING: settings.max_drawing,
    }
    if found.quality.side < settings.min_side:
        return "drop", "too-small"
    if found.quality.relief < settings.min_relief:
        return "drop", "blank"
    # What is no number is within no limit.
    if found.content is not None and not found.content <= settings.max_content:
        return "drop", "content"
    if not found.mark.probability <= settings.mark_limit(found.mark.names_owner):
        return "drop", found.mark.kind.value
    for form, limit in limits.items():
        if not found.forms.get(form, 0.0) <= limit:
            return "drop", form.value
    if found.reading is not None:
        return _prompted(found, found.reading, present, settings)
    return _judged(found, present, settings)


def _prompted(
    found: Found, reading: Reading, present: frozenset[Degradation], settings: Screen
) -> tuple[str, str]:
    if present:
        return "degraded", "prompt"
    named = _named(reading, settings)
    if any(_failed(found, d) for d in named):
        return "drop", JUDGE_FAILED
    if named:
        return "drop", "too-mild"
    if not all(margin <= settings.clean_margin for margin in reading.margins.values()):
        return "drop", "unsure"
    return _clean(found, settings)


def _judged(found: Found, present: frozenset[Degradation], settings: Screen) -> tuple[str, str]:
    if present:
        return "degraded", "severity"
    # What was not judged may be there.
    if any(_failed(found, d) for d in Degradation):
        return "drop", JUDGE_FAILED
    presences = [j.presence for j in found.judgements.values() if j.presence is not None]
    if min(presences) < settings.clean_at:
        return "drop", "unsure"
    # Presence is made for few false alarms. In a source a degradation that is missed does harm,
    # and a clean photo that is not taken does none.
    severities = [j.severity for j in found.judgements.values() if j.severity is not None]
    if min(severities) < settings.clean_severity:
        return "drop", TRACES
    return _clean(found, settings)


def _failed(found: Found, degradation: Degradation) -> bool:
    judgement = found.judgements.get(degradation)
    return judgement is None or judgement.severity is None


def _clean(found: Found, settings: Screen) -> tuple[str, str]:
    fault = found.quality.fault(settings)
    return ("drop", fault) if fault else ("clean", "clean")


def is_present(degradation: Degradation, judgement: Judgement, settings: Screen) -> bool:
    """Whether the judge finds the degradation, and is sure enough of it."""
    return (
        judgement.presence is not None
        and judgement.presence <= settings.threshold(degradation)
        and judgement.confidence >= settings.min_confidence
    )


def is_final(row: Mapping[str, Any], settings: Screen) -> bool:
    """Whether the judge answered all that it was asked about an image, by its row of SCREENING.

    Of a degraded image, too: what was not judged may be there as well, or be the stronger.
    """
    if row["reason"] not in ("severity", "prompt"):
        return bool(row["reason"] != JUDGE_FAILED)
    scores = dict(row["scores"])
    return all(
        f"severity/{d}" in scores
        for d in Degradation
        if row["reason"] == "severity" or scores[f"margin/{d}"] >= settings.margin(d)
    )


_SCORE_OF = {
    "too-small": "quality/side",
    "blank": "quality/relief",
    "content": "content",
    **{kind.value: "watermark" for kind in Kind},
    **{form.value: f"form/{form}" for form in Form},
    "clean-but-small": "quality/side",
    "clean-but-noisy": "quality/noise",
    "clean-but-soft": "quality/softness",
    "clean-but-compressed": "quality/blockiness",
}
"""Reasons that are of no degradation, and the score that each looks at."""


def what_decided(row: Mapping[str, Any]) -> str:
    """What decided on an image, and its number, by the image's row of SCREENING.

    Of a degradation that is the presence, since a severity of 2 may be that of a clean photo; for
    `TRACES` it is the lowest severity, for `_SCORE_OF` that score. "" where nothing is named, no
    number where the judge was not asked.
    """
    scores = row.get("scores", {})
    score = _SCORE_OF.get(row["reason"], "")
    if score in scores:
        return f"{score.rpartition('/')[2]} {scores[score]:.3g}"
    if row["reason"] == TRACES:
        lowest = _lowest_severity(scores)
        return f"{lowest} {scores[f'severity/{lowest}']:.1f}"
    named = row.get("degradation") or ""
    presence = scores.get(f"presence/{named}")
    return named if presence is None else f"{named} {presence:.1f}"


def _lowest_severity(scores: Mapping[str, float]) -> Degradation:
    judged = [d for d in Degradation if f"severity/{d}" in scores]
    return min(judged, key=lambda d: scores[f"severity/{d}"])


def explanation(name: str, row: Mapping[str, Any], settings: Screen) -> list[str]:
    """Lines for a person: the verdict, the rule, and every score against its threshold."""
    needed = f" (needs {settings.min_confidence:.0%})" if settings.min_confidence else ""
    lines = [f"{name}: {row['verdict']}, by rule {row['reason']}: {RULES[row['reason']]}."]
    scores = row["scores"]
    found = [d for d in Degradation if f"severity/{d}" in scores]
    for degradation in sorted(found, key=lambda d: scores[f"presence/{d}"]):
        presence, severity = scores[f"presence/{degradation}"], scores[f"severity/{degradation}"]
        threshold = settings.threshold(degradation)
        confidence = scores[f"confidence/{degradation}"]
        judgement = Judgement(severity, confidence, presence=presence)
        mark = "*" if is_present(degradation, judgement, settings) else " "
        named = "  <- named" if degradation == row["degradation"] else ""
        lines.append(
            f"  {mark} {degradation:12} presence {presence:.2f} (present at {threshold:g}), "
            f"severity {severity:.2f}, sure {confidence:.0%}{needed}{named}"
        )
    by_prompt = [d for d in Degradation if f"margin/{d}" in scores]
    for degradation in sorted(by_prompt, key=lambda d: -scores[f"margin/{d}"]):
        margin, threshold = scores[f"margin/{degradation}"], settings.margin(degradation)
        mark = "*" if margin >= threshold else " "
        lines.append(
            f"  {mark} {degradation:12} margin {margin:+.3f} over a clean photo "
            f"(present at {threshold:g})"
        )
    limits = {
        "watermark": ("watermark", settings.mark_limit(bool(scores.get("names-owner")))),
        "content": ("content", settings.max_content),
        **{f"form/{form}": (form.value, getattr(settings, f"max_{form.value}")) for form in Form},
    }
    for key, (label, limit) in limits.items():
        if key in scores:
            mark = " " if scores[key] <= limit else "*"
            why = ", it names an owner" if key == "watermark" and scores.get("names-owner") else ""
            lines.append(f"  {mark} {label:12} {scores[key]:.2f} (dropped above {limit:g}{why})")
    if "quality/relief" in scores:
        mark = "*" if scores["quality/relief"] < settings.min_relief else " "
        lines.append(
            f"  {mark} {'relief':12} {scores['quality/relief']:.1f} "
            f"(blank below {settings.min_relief:g})"
        )
    sources = {
        "side": ("at least", settings.clean_min_side),
        "noise": ("at most", settings.clean_max_noise),
        "softness": ("at most", settings.clean_max_softness),
        "blockiness": ("at most", settings.clean_max_blockiness),
    }
    qualities = [
        f"{name} {scores[f'quality/{name}']:.4g} ({how} {limit:g})"
        for name, (how, limit) in sources.items()
        if f"quality/{name}" in scores
    ]
    if found and qualities and not by_prompt:
        lowest = _lowest_severity(scores)
        qualities.append(
            f"lowest severity {scores[f'severity/{lowest}']:.2f}, of {lowest} "
            f"(at least {settings.clean_severity:g})"
        )
    if qualities:
        lines.append("    as a source  " + ", ".join(qualities))
    return lines
