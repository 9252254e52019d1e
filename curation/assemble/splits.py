"""Train and validation, by group: no scene is on both sides."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from catalog.settings.pairs import Assemble
from curation.assemble.order import shuffled


def scenes(pair: Mapping[str, Any], groups: Mapping[str, str]) -> set[str]:
    """The groups that a pair shows: its own, and that of the photo which a reflection mirrors.

    `groups` is by image id; an image that is not in it is a group alone.
    """
    layer = pair["layer_id"]
    return {pair["group"], groups.get(layer, layer)} - {None}


def split_groups(
    pairs: Sequence[dict[str, Any]], settings: Assemble, group_of: Mapping[str, str]
) -> dict[str, str]:
    """Group -> "train" or "validation".

    Groups with real pairs are split by their commonest degradation, the others together, so that a
    task with enough groups is in both. The scenes that reflections mirror are all for training: a
    validation pair may show one of them in the glass, but what it asks for was never seen. Their
    groups are looked up in `group_of` (by image id): a mirrored photo need not have a pair itself.
    """
    mirrored = {group for pair in pairs for group in scenes(pair, group_of) - {pair["group"]}}
    tasks: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for pair in pairs:
        tasks[pair["group"]][pair["degradation"] if pair["origin"] == "real" else ""] += 1
    strata: defaultdict[str, list[str]] = defaultdict(list)
    for group, counted in tasks.items():
        named = {task: count for task, count in counted.items() if task}
        strata[max(sorted(named), key=lambda task: named[task]) if named else ""].append(group)
    splits: dict[str, str] = {}
    for stratum, groups in sorted(strata.items()):
        order = shuffled(groups, settings.seed, f"split {stratum}")
        free = [group for group in order if group not in mirrored]
        count = round(settings.validation_share * len(order))
        if count == 0 and settings.validation_share > 0 and len(order) >= 4:
            count = 1
        splits |= dict.fromkeys(order, "train") | dict.fromkeys(free[:count], "validation")
    return splits
