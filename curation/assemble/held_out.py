"""Real degraded images that training never sees."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from catalog.degradations import Degradation
from catalog.settings.pairs import Assemble
from curation.assemble.order import draw, shuffled
from curation.select import Selected

_MOST = 1.5
"""Times the share that is taken at most."""


def hold_out(
    degraded: Sequence[Selected], pairs: Sequence[dict[str, Any]], settings: Assemble
) -> list[dict[str, Any]]:
    """Rows of schemas.HELD_OUT, sorted by image id.

    Of a degradation with real pairs, a share of the groups is taken, at least one when there are
    two; of one without (no teacher), all, since training cannot use them. Every degraded image of a
    held-out group is held out, up to the cap of its degradation; the group leaves training whole.

    A group is drawn by its name alone. So in a collection that grows, what was trained on is not
    held out later, but where a few groups make up a degradation or a group gets another name.
    """
    if settings.held_out_share == 0 or settings.held_out_per_degradation == 0:
        return []
    trained = {pair["group"] for pair in pairs if pair["origin"] == "real"}
    taught = {pair["degradation"] for pair in pairs if pair["origin"] == "real"}
    by_task: defaultdict[Degradation, list[Selected]] = defaultdict(list)
    for image in degraded:
        by_task[image.degradations[0]].append(image)
    groups: set[str] = set()
    for task, found in sorted(by_task.items()):
        order = shuffled((image.group for image in found), settings.seed, _purpose(task))
        if task in taught:
            count = _count(task, order, settings)
        else:
            order = [group for group in order if group not in trained]
            count = len(order)
        groups.update(order[: min(count, settings.held_out_per_degradation)])
    rows = []
    for task, found in sorted(by_task.items()):
        mine = [image for image in found if image.group in groups]
        kept = shuffled((image.image_id for image in mine), settings.seed, "held-out image")
        kept = kept[: settings.held_out_per_degradation]
        rows += [
            {"image_id": image.image_id, "degradation": task.value, "group": image.group}
            for image in mine
            if image.image_id in kept
        ]
    return sorted(rows, key=lambda row: row["image_id"])


def _count(task: Degradation, order: Sequence[str], settings: Assemble) -> int:
    """How many of `order`, groups by their draw, are below the share."""
    share = settings.held_out_share
    drawn = (draw(group, settings.seed, _purpose(task)) for group in order)
    count = sum(place < share for place in drawn)
    # Of a few groups chance could take none, or nearly all.
    most = min(math.ceil(_MOST * share * len(order)), len(order) - 1)
    return max(min(count, most), int(len(order) > 1))


def _purpose(task: Degradation) -> str:
    return f"held-out {task}"
