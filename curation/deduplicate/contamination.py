"""Collected images that are the benchmark's: copies, versions and crops of its images."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from catalog.settings.curation import Deduplicate
from curation.deduplicate.candidates import Pairs, candidates
from curation.deduplicate.prints import Prints
from curation.deduplicate.verify import Match, verify


def contaminated(
    collected: Prints,
    benchmark: Prints,
    names: Sequence[str],
    settings: Deduplicate,
    further: Pairs | None = None,
) -> list[dict[str, Any]]:
    """Rows of CONTAMINATION: each collected image that matches, with its nearest benchmark image.

    The rule is wider than that of duplicates: a degraded version and a crop count too. `further`
    are candidates found elsewhere, such as by embeddings.
    """
    if not len(collected) or not len(benchmark):
        return []
    where = {key: row for row, key in reversed(list(enumerate(benchmark.ids)))}
    best: dict[int, tuple[float, str, int]] = {}
    for row, key in enumerate(collected.ids):
        if key in where:
            best[row] = (1.0, "exact", where[key])
    pairs = candidates(collected, benchmark, settings)
    if further is not None:
        pairs = np.unique(np.concatenate([pairs, further]), axis=0)
    pairs = pairs[~np.isin(pairs[:, 0], list(best))]
    found: dict[int, Match] = {}
    for match in verify(collected, benchmark, pairs, settings):
        known = found.get(match.a)
        if match.contained >= settings.contamination_overlap and (
            known is None or match.agreement * match.contained > known.agreement * known.contained
        ):
            found[match.a] = match
    best |= {row: (m.similarity, m.reason, m.b) for row, m in found.items()}
    return [
        {
            "image_id": collected.ids[row],
            "benchmark_id": benchmark.ids[other],
            "benchmark_name": names[other],
            "reason": reason,
            "similarity": similarity,
        }
        for row, (similarity, reason, other) in sorted(best.items())
    ]
