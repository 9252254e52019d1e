"""The verdict on a pair: one rule after the other, the first that fails is the reason."""

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
        seen = before is not None and after is not None and after - before >= least
        return None if visible or seen else "not-visible"
    if before is None or after is None:
        return "not-judged"
    if after - before < least:
        return "worse" if after < before else "small-difference"
    if after < settings.min_clean_severity:
        return "target-degraded"
    most = settings.max_distance.get(degradation, settings.max_distance["default"])
    if measures.consistency > most:
        return "inconsistent"
    if measures.shift > settings.max_shift:
        return "shifted"
    return None
