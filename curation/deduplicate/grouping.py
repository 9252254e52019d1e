"""Verified pairs to groups in which every member is similar to its keeper."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from curation.deduplicate.align import content_overlap
from curation.deduplicate.prints import Prints
from curation.deduplicate.verify import Match


@dataclass(frozen=True)
class Member:
    """Row `row` of a group; `match` is its match with the keeper, None for the keeper itself."""

    row: int
    relation: str
    match: Match | None


def preference(prints: Prints, licences: Sequence[str]) -> np.ndarray:
    """Rows from the best keeper to the worst.

    First come more pixels of content (a plain border has none), then better encoding (lossless,
    JPEG quality), then the preferred licence, then less noise and more bytes.
    """
    box = prints.trim.astype(np.float64)
    content = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    # The edge of a border is found to a few percent only, so a bordered copy would often win by
    # nothing over the image it was made from.
    bordered = np.where(content < 0.98, 0.9, 1.0)
    pixels = np.round(prints.width * prints.height * content * bordered)

    def rank(name: str | None) -> int:
        given = (name or "").lower().replace(" ", "-").removeprefix("cc-")
        return next((i for i, wanted in enumerate(licences) if given.startswith(wanted)), 99)

    def key(row: int) -> tuple[float, int, int, int, int, str]:
        steps = -float(np.round(np.log(max(pixels[row], 1.0)) / 0.02))  # within 2 % is equal
        quality = -int(prints.jpeg_quality[row])
        # Among equals more bytes are more detail, unless they are noise.
        noise, size = int(prints.grain[row] // 4), -int(prints.byte_size[row])
        return steps, quality, rank(prints.license[row]), noise, size, prints.ids[row]

    return np.array(sorted(range(len(prints)), key=key), np.int64)


def make_groups(
    prints: Prints,
    matches: Sequence[Match],
    order: np.ndarray,
    least_overlap: float,
    is_variant: Callable[[int, int, np.ndarray], bool],
) -> list[list[Member]]:
    """Groups, each with its keeper first; every row is in exactly one.

    The best image that is left becomes a keeper and takes those similar to it, the nearest first.
    One that would share less than `least_overlap` with a member already taken (both lie on the
    keeper, so this is known) starts a group of its own: two different crops of one photo are not
    copies of one another. `is_variant(a, b, matrix)` says whether two rows differ in degradation.
    """
    near: dict[int, dict[int, Match]] = defaultdict(dict)
    for match in matches:
        if match.overlap >= least_overlap:
            near[match.a][match.b] = match
            near[match.b][match.a] = match
    free = np.ones(len(prints), bool)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    groups = []
    for keeper in order.tolist():
        if not free[keeper]:
            continue
        free[keeper] = False
        found = [(row, match) for row, match in near[keeper].items() if free[row]]
        found.sort(key=lambda item: (-item[1].overlap * item[1].agreement, prints.ids[item[0]]))
        placed: list[tuple[int, np.ndarray, Match]] = []  # row, map from the keeper to it
        for row, match in found:
            matrix = match.matrix if match.a == keeper else np.linalg.inv(match.matrix)
            shared = (
                content_overlap(matrix @ np.linalg.inv(other), prints.trim[taken], prints.trim[row])
                for taken, other, _ in placed
            )
            if all(overlap >= least_overlap for overlap, _ in shared):
                free[row] = False
                placed.append((row, matrix, match))
        placed.sort(key=lambda item: rank[item[0]])
        group = [Member(keeper, "keeper", None)]
        kinds = [(keeper, np.eye(3))]
        for row, matrix, match in placed:
            new = all(
                is_variant(known, row, matrix @ np.linalg.inv(other)) for known, other in kinds
            )
            if new:
                kinds.append((row, matrix))
            group.append(Member(row, "variant" if new else "copy", match))
        groups.append(group)
    return groups
