"""How far reviewers agree: Cohen's kappa of two, Fleiss' kappa of several."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from curation.review.decisions import DECISIONS, Decision


def fleiss_kappa(counts: np.ndarray) -> float | None:
    """Fleiss (1971) for (n pairs, k categories) counts of ratings.

    Rows may have different sums, as while a review is under way: a pair's agreement is that of its
    own ratings. None where it is undefined: no pairs, fewer than two ratings of one, or one
    category only.
    """
    if counts.size == 0:
        return None
    raters = counts.sum(axis=1)
    if (raters < 2).any():
        return None
    agreed = ((counts**2).sum(axis=1) - raters) / (raters * (raters - 1))
    share = counts.sum(axis=0) / counts.sum()
    chance = float((share**2).sum())
    return None if chance >= 1 else float((agreed.mean() - chance) / (1 - chance))


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Cohen (1960) of two reviewers over the same pairs; None where it is undefined."""
    if not first:
        return None
    one, two = np.array(first), np.array(second)
    observed = float((one == two).mean())
    chance = sum(float((one == name).mean() * (two == name).mean()) for name in DECISIONS)
    return None if chance >= 1 else (observed - chance) / (1 - chance)


def agreement(decided: Mapping[str, Mapping[str, Decision]]) -> dict[str, object]:
    """Kappas over the pairs that several decided, and the pairs they disagree on."""
    shared = {pair: row for pair, row in decided.items() if len(row) > 1}
    reviewers = sorted({name for row in shared.values() for name in row})
    cohen = {}
    for first, second in combinations(reviewers, 2):
        both = [row for row in shared.values() if first in row and second in row]
        value = cohen_kappa(
            [row[first].decision for row in both], [row[second].decision for row in both]
        )
        if value is not None:
            cohen[f"{first} / {second}"] = round(value, 3)
    counts = np.array(
        [
            [sum(d.decision == name for d in row.values()) for name in DECISIONS]
            for row in shared.values()
        ]
    )
    fleiss = fleiss_kappa(counts)
    return {
        "shared_pairs": len(shared),
        "cohen": cohen,
        "fleiss": None if fleiss is None else round(fleiss, 3),
        "disagreements": sorted(
            pair for pair, row in shared.items() if len({d.decision for d in row.values()}) > 1
        ),
    }
