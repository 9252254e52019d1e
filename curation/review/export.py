"""Decisions as the side table that `assemble` obeys."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from catalog import schemas
from catalog.tables import write_table
from curation.review.decisions import Decision


def export(decided: Mapping[str, Mapping[str, Decision]], path: Path) -> int:
    """Write schemas.REVIEWS, one row a pair; return the number of rows.

    The majority decides; without one the pair is "unsure".
    """
    rows = []
    for pair, said in sorted(decided.items()):
        counted = Counter(one.decision for one in said.values())
        winner, votes = counted.most_common(1)[0]
        clear = votes * 2 > len(said)
        reasons = sorted({one.reason for one in said.values() if one.reason})
        rows.append(
            {
                "pair_id": pair,
                "decision": winner if clear else "unsure",
                "reason": "; ".join(reasons) or (None if clear else "reviewers disagree"),
                "reviewers": len(said),
            }
        )
    write_table(path, rows, schemas.REVIEWS)
    return len(rows)
