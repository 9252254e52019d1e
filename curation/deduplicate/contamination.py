"""Collected images that are the benchmark's: copies, versions and crops of its images."""

from collections.abc import Iterator, Sequence
from typing import Any

from catalog.progress import track
from catalog.settings.curation import Deduplicate
from curation.deduplicate.candidates import candidates
from curation.deduplicate.local import LocalIndex, shared_features
from curation.deduplicate.prints import Prints
from curation.deduplicate.verify import Match, Question, answer, questions


def _asked(collected: Prints, benchmark: Prints, settings: Deduplicate) -> Iterator[Question]:
    yield from questions(collected, benchmark, candidates(collected, benchmark, settings))
    # A benchmark is small, so every image can be looked for by its parts.
    index = LocalIndex(benchmark)
    for one, two, matrix in shared_features(collected, index, same=False):
        yield one, two, [matrix]


def contaminated(
    collected: Prints, benchmark: Prints, names: Sequence[str], settings: Deduplicate
) -> list[dict[str, Any]]:
    """Rows of CONTAMINATION: each collected image that matches, with its nearest benchmark image.

    The rule is wider than that of duplicates: a degraded version counts, and so does a crop from
    anywhere, as far as the smaller of the two images lies in the larger one.
    """
    if not len(collected) or not len(benchmark):
        return []
    where = {key: row for row, key in reversed(list(enumerate(benchmark.ids)))}
    found: dict[int, Match] = {}
    for _, _, match in track(
        answer(collected, benchmark, _asked(collected, benchmark, settings), settings),
        "benchmark candidates",
    ):
        if match is None or match.contained < settings.contamination_overlap:
            continue
        known = found.get(match.a)
        if known is None or (match.agreement * match.contained > known.agreement * known.contained):
            found[match.a] = match
    rows = []
    for row, key in enumerate(collected.ids):
        if key in where:
            other, reason, similarity = where[key], "exact", 1.0
        elif row in found:
            other, reason, similarity = found[row].b, found[row].reason, found[row].similarity
        else:
            continue
        rows.append(
            {
                "image_id": key,
                "benchmark_id": benchmark.ids[other],
                "benchmark_name": names[other],
                "reason": reason,
                "similarity": similarity,
            }
        )
    return rows
