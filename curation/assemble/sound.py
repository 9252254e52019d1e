"""Which pairs may be in the dataset at all: verdict, reviews, benchmark, take-downs."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Any

from catalog.pairs import image_ids
from catalog.settings.pairs import Assemble


def sound_pairs(
    pairs: Sequence[dict[str, Any]],
    reviews: Mapping[str, str],
    contaminated: Set[str],
    blocked: Set[str],
    settings: Assemble,
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Usable rows of schemas.PAIRS, and the others counted by reason.

    A person's decision stands above the verdict of the screening, but neither brings back an image
    of a benchmark or one that was taken down. Of rows of one pair (two windows of a short clip, two
    teachers of one mind) the first usable one counts.
    """
    usable: dict[str, dict[str, Any]] = {}
    dropped = Counter[str]()
    for pair in pairs:
        reason = _fault(pair, reviews.get(pair["pair_id"]), contaminated, blocked, settings)
        if reason is None and pair["pair_id"] in usable:
            reason = "twice"
        if reason:
            dropped[reason] += 1
        else:
            usable[pair["pair_id"]] = pair
    return list(usable.values()), dropped


def _fault(
    pair: Mapping[str, Any],
    decision: str | None,
    contaminated: Set[str],
    blocked: Set[str],
    settings: Assemble,
) -> str | None:
    ids = image_ids(pair)
    if ids & blocked:
        return "taken-down"
    # Frames of clips are in no table of matches: `synthesize` compares them itself.
    if ids & contaminated or pair["reason"] == "benchmark":
        return "benchmark"
    if decision == "reject":
        return "rejected"
    if decision == "accept":
        return None
    if pair["verdict"] != "keep":
        return f"screened-{pair['origin']}"
    if pair["origin"] == "real":
        if decision == "unsure" and settings.unsure == "drop":
            return "unsure"
        if decision is None and settings.unreviewed == "drop":
            return "unreviewed"
    return None
