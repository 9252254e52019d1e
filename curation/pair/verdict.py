"""The verdict on a pair: one rule after the other, the first that fails is the reason."""

from collections.abc import Mapping

from catalog.degradations import Degradation
from catalog.settings.pairs import Pair
from curation.pair.measures import Measures


def verdict_of(
    measures: Measures, degradation: Degradation, settings: Pair, synthetic: bool = False
) -> tuple[str, str]:
    """("keep" or "drop", the rule that decided)."""
    reason = _fault(measures, degradation, settings, synthetic)
    return ("drop", reason) if reason else ("keep", "sound")


def _fault(
    measures: Measures, degradation: Degradation, settings: Pair, synthetic: bool
) -> str | None:
    before, after = measures.severity_degraded, measures.severity_clean
    if measures.consistency < settings.min_distance:
        return "unchanged"
    least = settings.min_difference.get(degradation, settings.min_difference["default"])
    if synthetic:
        visible = measures.consistency >= settings.visible_distance
        # A limit that forgives a judge who sees little of a degradation proves nothing here.
        clear = max(least, settings.min_difference["default"])
        seen = before is not None and after is not None and after - before >= clear
        if visible or seen:
            return None
        return "not-visible" if before is not None and after is not None else "not-judged"
    if before is None or after is None:
        return "not-judged"
    if after - before < least:
        return "worse" if after < before else "small-difference"
    if after < settings.min_clean_severity:
        return "target-degraded"
    most = settings.max_distance.get(degradation, settings.max_distance["default"])
    if measures.consistency > most:
        return "inconsistent"
    return movement_fault(measures.scores, degradation, settings) or drift_fault(
        measures.scores, degradation, settings
    )


def drift_fault(
    scores: Mapping[str, float], degradation: Degradation, settings: Pair
) -> str | None:
    """Whether the whole image took on another colour or exposure."""
    for name, reason, limits in (
        ("drift-chroma", "colour-drift", settings.max_colour_drift),
        ("drift-light", "exposure-drift", settings.max_exposure_drift),
    ):
        if abs(scores[name]) > limits.get(degradation, limits["default"]):
            return reason
    return None


def movement_fault(
    scores: Mapping[str, float], degradation: Degradation, settings: Pair
) -> str | None:
    """Whether the content is another, moved, or has something added or removed."""
    before, after = scores["move-before"], scores["move-after"]
    if before < settings.min_correlation and after < settings.min_correlation:
        return "another-content"
    # Under heavy noise the fitted movement is itself noise: undoing it then gains nothing.
    gain = (after - before) / max(1 - before, 1e-6)
    least = settings.min_gain.get(degradation, settings.min_gain["default"])
    if scores["move-relative"] > settings.max_shift and gain > least:
        return "shifted"
    if scores["move-warp"] > settings.max_warp.get(degradation, settings.max_warp["default"]):
        return "warped"
    most = settings.max_changed.get(degradation, settings.max_changed["default"])
    return "content-changed" if scores["content-changed"] > most else None
