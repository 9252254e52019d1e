"""The groups of one collection, as rows of DUPLICATES."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from catalog.progress import track
from catalog.settings.curation import Deduplicate
from curation.deduplicate.candidates import candidates, within
from curation.deduplicate.difference import LIMITS, clearly, difference
from curation.deduplicate.grouping import Member, make_groups, preference
from curation.deduplicate.index import Store
from curation.deduplicate.local import LocalIndex, shared_features
from curation.deduplicate.memory import Memory
from curation.deduplicate.prints import Prints, take
from curation.deduplicate.verify import Match, Question, answer, questions
from curation.deduplicate.versions import Version, version_of

_ROUNDS = 10
"""Times at most that the keepers of joined groups are compared; a crowd merges like a tree."""


def _asked(
    prints: Prints, new: np.ndarray, settings: Deduplicate, store: Store | None
) -> Iterator[Question]:
    """All candidate pairs with at least one row of `new`, each once."""
    queries = prints if len(new) == len(prints) else take(prints, new)
    pairs = candidates(queries, prints, settings, store)
    pairs = within(np.stack([new[pairs[:, 0]], pairs[:, 1]], axis=1))
    yield from questions(prints, prints, pairs)
    if len(prints) <= settings.local_features_up_to:
        known = set(map(tuple, pairs.tolist()))
        index = LocalIndex(prints)
        fresh = np.zeros(len(prints), bool)
        fresh[new] = True
        for one, two, matrix in shared_features(prints, index, same=True):
            if (fresh[one] or fresh[two]) and (min(one, two), max(one, two)) not in known:
                known.add((min(one, two), max(one, two)))
                yield one, two, [matrix]


def find_matches(
    prints: Prints,
    settings: Deduplicate,
    memory: Memory | None = None,
    store: Store | None = None,
) -> list[Match]:
    """All verified pairs of a collection; those among images that `memory` holds come from it.

    What is not in memory is looked up in the indexes of `store`, which grow by it.
    """
    row_of = {key: row for row, key in enumerate(prints.ids)}
    verdicts: dict[tuple[str, str], Match | None] = dict(memory.verdicts) if memory else {}
    known = memory.ids if memory else set()
    new = np.array([row for row, key in enumerate(prints.ids) if key not in known], np.int64)
    if len(new):
        asked = answer(prints, prints, _asked(prints, new, settings, store), settings)
        for one, two, match in track(asked, "candidate pairs"):
            verdicts[prints.ids[one], prints.ids[two]] = match
        if memory:
            memory.remember(prints.ids, verdicts)
    matches = [
        replace(match, a=row_of[a], b=row_of[b])
        for (a, b), match in verdicts.items()
        if match is not None and a in row_of and b in row_of
    ]
    return sorted(matches, key=lambda match: (match.a, match.b))


def _bridges(
    groups: Sequence[Sequence[Member]], matches: Sequence[Match], asked: set[tuple[int, int]]
) -> Iterator[Question]:
    """Keepers whose groups are joined by a match, and that were not compared themselves.

    The maps member to keeper and member to member give the map to begin from.
    """
    place: dict[int, tuple[int, np.ndarray]] = {}  # row to its keeper, map from the keeper to it
    for members in groups:
        keeper = members[0].row
        for member in members:
            match = member.match
            matrix = np.eye(3) if match is None else match.matrix
            forward = match is None or match.a == keeper
            place[member.row] = keeper, matrix if forward else np.linalg.inv(matrix)
    for match in matches:
        (one, to_a), (two, to_b) = place[match.a], place[match.b]
        key = (min(one, two), max(one, two))
        if one != two and key not in asked:
            asked.add(key)
            yield one, two, [np.linalg.inv(to_b) @ match.matrix @ to_a]


def group(prints: Prints, matches: Sequence[Match], settings: Deduplicate) -> list[list[Member]]:
    """Groups of copies and variants, each with its keeper first.

    Where two groups are joined by a match their keepers are compared too: a keeper may be too far
    from another's hash and layout, and a crowd of copies has more neighbours than are searched.
    """

    @lru_cache(maxsize=4096)
    def version(row: int) -> Version:
        return version_of(prints, row)

    def is_variant(a: int, b: int, matrix: np.ndarray) -> bool:
        return clearly(difference(version(a), version(b), matrix), LIMITS) is not None

    order = preference(prints, settings.keep_first)
    known = list(matches)
    asked = {(min(match.a, match.b), max(match.a, match.b)) for match in known}
    for _ in range(_ROUNDS):
        groups = make_groups(prints, known, order, settings.min_overlap, is_variant)
        further = answer(prints, prints, _bridges(groups, known, asked), settings)
        found = [match for _, _, match in further if match is not None]
        if not found:
            break
        known += found
    else:
        groups = make_groups(prints, known, order, settings.min_overlap, is_variant)
    return groups


def rows(
    prints: Prints, groups: Sequence[Sequence[Member]], settings: Deduplicate
) -> list[dict[str, Any]]:
    """Rows of DUPLICATES, one an image, in the order of the images.

    Variants are copies where the settings say that none stays.
    """
    made: dict[int, dict[str, Any]] = {}
    for members in groups:
        keeper = prints.ids[members[0].row]
        for member in members:
            match = member.match
            gone = member.relation == "variant" and not settings.keep_variants
            made[member.row] = {
                "image_id": prints.ids[member.row],
                "group": keeper,
                "keeper": match is None,
                "relation": "copy" if gone else member.relation,
                "reason": match.reason if match else None,
                "similarity": match.similarity if match else 1.0,
            }
    return [made[row] for row in range(len(prints))]
