"""The row of one synthetic pair, with the same screening whatever made it."""

from collections.abc import Mapping
from typing import Any

from catalog import images
from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.pairs import pair_id
from curation.pair.measures import Instruments
from curation.pair.verdict import verdict_of


def pair_row(
    degraded: tuple[Rgb, bytes],
    clean: tuple[Rgb, bytes],
    degradation: Degradation,
    instruments: Instruments,
    drawn: Mapping[str, float | int | str],
    origin: Mapping[str, Any],
    fault: str | None = None,
) -> dict[str, Any]:
    """A row of schemas.PAIRS; both sides as pixels and encoded.

    `origin` gives the columns that only the maker knows (group, photo_id, teacher, seed). `fault`
    is a reason to drop the pair that is known before it is measured.
    """
    measures = instruments.measure(degraded[0], clean[0], degradation, aligned=True)
    verdict, reason = verdict_of(measures, degradation, instruments.settings, synthetic=True)
    if fault:
        verdict, reason = "drop", fault
    clean_id, degraded_id = images.image_id(clean[1]), images.image_id(degraded[1])
    row: dict[str, Any] = {
        "pair_id": pair_id(degraded_id, clean_id, degradation),
        "degraded_id": degraded_id,
        "clean_id": clean_id,
        "degradation": degradation.value,
        "origin": "synthetic",
        "verdict": verdict,
        "reason": reason,
    }
    row |= measures.columns() | dict(origin)
    row["scores"] = dict(measures.scores) | {
        f"drawn-{name}": float(value) for name, value in drawn.items() if not isinstance(value, str)
    }
    return row
