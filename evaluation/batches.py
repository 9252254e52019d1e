"""One batch of the benchmark: decode, restore, judge both sides. Workers and the stage share it.

The batches are a function of the benchmark and the batch size alone, so that whoever does one does
the same work on the same neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from catalog.degradations import Degradation
from catalog.errors import ImageRefused
from catalog.images import Rgb
from evaluation.benchmark import Benchmark, Item
from evaluation.judging import CachedJudge
from evaluation.restoring import Failed, Source
from networks.interfaces import Judgement


def batches(items: Sequence[Item], size: int) -> list[list[Item]]:
    """Items of one task each, at most `size`, in the order of the benchmark."""
    found = []
    for task in Degradation:
        chosen = [item for item in items if item.degradation == task]
        found += [chosen[start : start + size] for start in range(0, len(chosen), size)]
    return found


@dataclass
class Batch:
    """What became of one batch."""

    items: Sequence[Item]
    failures: dict[Item, tuple[str, str]] = field(default_factory=dict)
    """Outcome and why, of items without a restored image."""
    degraded: dict[Item, Rgb] = field(default_factory=dict)
    restored: dict[Item, Rgb] = field(default_factory=dict)
    before: dict[Item, Judgement] = field(default_factory=dict)
    after: dict[Item, Judgement] = field(default_factory=dict)


def work(benchmark: Benchmark, items: Sequence[Item], source: Source, judge: CachedJudge) -> Batch:
    """Restore and judge `items` (of one task); what is kept already is not asked again."""
    found = Batch(items)
    for item in items:
        try:
            found.degraded[item] = benchmark.image(item)
        except ImageRefused as error:
            found.failures[item] = ("unreadable-reference", error.what)
    source.prepare(list(found.degraded), list(found.degraded.values()))
    for item, picture in found.degraded.items():
        try:
            found.restored[item] = source.get(item, picture)
        except Failed as failure:
            found.failures[item] = (failure.outcome, str(failure))
    task = items[0].degradation
    for side, answers in ((found.degraded, found.before), (found.restored, found.after)):
        answers |= zip(side, judge.judge(list(side.values()), task), strict=True)
    return found
