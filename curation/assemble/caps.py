"""Balance: how many pairs of a degradation, a photo, a source, and of synthesis."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from catalog.settings.pairs import Assemble
from curation.assemble.order import shuffled
from curation.assemble.provenance import Origins


def apply_caps(
    pairs: Sequence[dict[str, Any]], settings: Assemble, origins: Origins
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Pairs within all caps, real ones first, in a random order by the seed; the rest by reason."""
    by_id = {pair["pair_id"]: pair for pair in pairs}
    order = [by_id[key] for key in shuffled(by_id, settings.seed, "caps")]
    order.sort(key=lambda pair: pair["origin"] != "real")
    caps = settings.max_per_degradation
    tasks: Counter[tuple[str, str]] = Counter()
    groups: Counter[str] = Counter()
    sources: Counter[str | None] = Counter()
    chosen, dropped = [], Counter[str]()
    for pair in order:
        task = (pair["degradation"], pair["origin"])
        real = tasks[pair["degradation"], "real"]
        source = origins.source(pair["photo_id"])
        ratio = settings.max_synthetic_per_real
        if tasks[task] >= caps.get(pair["degradation"], caps["default"]):
            dropped["cap-degradation"] += 1
        elif groups[pair["group"]] >= settings.max_per_group:
            dropped["cap-group"] += 1
        elif settings.max_per_source and sources[source] >= settings.max_per_source:
            dropped["cap-source"] += 1
        elif ratio and real and task[1] == "synthetic" and tasks[task] >= ratio * real:
            dropped["cap-synthetic"] += 1
        else:
            tasks[task] += 1
            groups[pair["group"]] += 1
            sources[source] += 1
            chosen.append(pair)
    return chosen, dropped
