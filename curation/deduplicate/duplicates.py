"""The groups of one collection, as rows of DUPLICATES."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from catalog.progress import track
from catalog.settings.curation import Deduplicate
from curation.deduplicate.candidates import Pairs, candidates, within
from curation.deduplicate.difference import LIMITS, Version, clearly, difference
from curation.deduplicate.grouping import Member, make_groups, preference
from curation.deduplicate.prints import Prints
from curation.deduplicate.verify import Match, thumbnail, verify


def find_matches(
    prints: Prints, settings: Deduplicate, further: Pairs | None = None
) -> list[Match]:
    """All verified pairs of a collection; `further` are candidates found elsewhere."""
    pairs = within(candidates(prints, prints, settings))
    if further is not None:
        pairs = within(np.concatenate([pairs, further]))
    return list(track(verify(prints, prints, pairs, settings), "verified pairs"))


def group(prints: Prints, matches: Sequence[Match], settings: Deduplicate) -> list[list[Member]]:
    """Groups of copies and variants, each with its keeper first."""

    @lru_cache(maxsize=4096)
    def version(row: int) -> Version:
        side = int(max(prints.width[row], prints.height[row]))
        measures = float(prints.grain[row]), float(prints.blockiness[row])
        return Version(thumbnail(prints.jpeg(row)), side, *measures)

    def is_variant(a: int, b: int, matrix: np.ndarray) -> bool:
        return clearly(difference(version(a), version(b), matrix), LIMITS) is not None

    order = preference(prints, settings.keep_first)
    return make_groups(prints, matches, order, settings.min_overlap, is_variant)


def rows(prints: Prints, groups: Sequence[Sequence[Member]]) -> list[dict[str, Any]]:
    """Rows of DUPLICATES, one an image, in the order of the images."""
    made: dict[int, dict[str, Any]] = {}
    for members in groups:
        keeper = prints.ids[members[0].row]
        for member in members:
            match = member.match
            made[member.row] = {
                "image_id": prints.ids[member.row],
                "group": keeper,
                "keeper": match is None,
                "relation": member.relation,
                "reason": match.reason if match else None,
                "similarity": match.similarity if match else 1.0,
            }
    return [made[row] for row in range(len(prints))]
