"""Does the judge repeat itself? Some images again, shuffled, in another batch size."""

from collections.abc import Sequence

import numpy as np

from catalog.degradations import Degradation
from catalog.settings.evaluation import Evaluate
from evaluation.benchmark import Benchmark, Item
from evaluation.judging import CachedJudge
from evaluation.restoring import Source
from evaluation.scores import ImageScore
from evaluation.statistics import Agreement, agreement
from networks.judges.answers import ask


def repeat(
    rows: Sequence[ImageScore],
    benchmark: Benchmark,
    source: Source,
    judge: CachedJudge,
    settings: Evaluate,
) -> Agreement:
    """Ask about `settings.repeat_images` of the judged images once more, past every store.

    A judge that keeps answers of its own has `uncached()`; without it the test would read its first
    answers again and call any judge perfect.
    """
    network = judge.judge_network
    network = network.uncached() if hasattr(network, "uncached") else network
    by_key = {(item.name, item.degradation): item for item in benchmark.items}
    asked: list[tuple[Item, bool, float]] = []
    for row in rows:
        item = by_key[(row.name, row.degradation)]
        if row.severity_degraded is not None:
            asked.append((item, False, row.severity_degraded))
        if row.severity_restored is not None:
            asked.append((item, True, row.severity_restored))
    rng = np.random.default_rng(settings.seed)
    chosen = [asked[index] for index in rng.permutation(len(asked))[: settings.repeat_images]]
    other_size = settings.batch_size // 2 if settings.batch_size > 1 else 2
    first: list[float | None] = []
    second: list[float | None] = []
    for task in Degradation:
        mine = [entry for entry in chosen if entry[0].degradation == task]
        for start in range(0, len(mine), other_size):
            part = mine[start : start + other_size]
            pictures = []
            for item, is_restored, _ in part:
                picture = benchmark.image(item)
                pictures.append(source.get(item, picture) if is_restored else picture)
            answers = ask(network, pictures, task)
            first += [severity for _, _, severity in part]
            second += [answer.severity for answer in answers]
    return agreement(first, second)
