"""The benchmark's score on a small fixed set of real images that training never sees.

Which images: the degraded sides of the real pairs in the dataset's validation split, spread over
them by their ids; where a degradation has none, those of its synthetic validation pairs. So they
are images of the dataset by content, of groups that no training pair is of, and neither of the
benchmark (decontaminated) nor held out for the gate (`assemble` takes those groups out whole). Only
real images that became pairs are among them, so they are easier than a benchmark.

They are restored whole, as the finished model would restore them, and scored as the benchmark is.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.files import write_json
from catalog.images import VERSION as DECODER
from catalog.images import Rgb
from catalog.settings.training import Stage
from networks.consistency import load_consistency
from networks.interfaces import Consistency, Identity, Judge, Judgement
from networks.judges import load_judge
from networks.scoring import product, score_name
from training.draws import Pair
from training.images import PairImages
from training.parallel import World


class Restores(Protocol):
    """The part of a Restorer that a score needs."""

    def restore(self, images: Sequence[Rgb], degradation: Degradation) -> list[Rgb]:
        """Restored images, each of its input's size."""
        ...


def choose(pairs: Iterable[Pair], most: int) -> list[Pair]:
    """At most `most` pairs a degradation, real ones where there are any, no image twice."""
    pools: dict[Degradation, dict[str, dict[str, Pair]]] = defaultdict(lambda: defaultdict(dict))
    for pair in pairs:
        pools[pair.degradation][pair.origin].setdefault(pair.degraded_id, pair)
    chosen: list[Pair] = []
    for task in Degradation:
        pool = pools[task]["real"] or pools[task]["synthetic"]
        # By a hash: ids of synthetic images may follow their order of making.
        order = sorted(pool, key=lambda key: hashlib.sha256(key.encode()).hexdigest())
        chosen += [pool[key] for key in order[:most]]
    return chosen


class Scorer:
    """Scores a restorer on the fixed set; what the judge said of the degraded images is kept."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        images: PairImages,
        judge: Judge,
        consistency: Consistency,
        kept: Path,
    ) -> None:
        """`kept`: file of the judge's answers on the degraded images, so none is asked for twice.

        Raises `UserError` without any pair.
        """
        if not pairs:
            raise UserError(
                "There is no validation pair whose degraded image could be scored.",
                "Let `assemble` put more groups into validation, or set select_by to gain and "
                "score_images to 0.",
            )
        self.pairs, self.images, self.kept = pairs, images, kept
        self.judge, self.consistency = judge, consistency
        self.name = score_name(judge.identity, consistency.identity)

    def by_task(self) -> dict[Degradation, list[Pair]]:
        """The fixed set."""
        found: dict[Degradation, list[Pair]] = defaultdict(list)
        for pair in self.pairs:
            found[pair.degradation].append(pair)
        return dict(found)

    def restored(
        self,
        restorer: Restores,
        group: World | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> dict[Degradation, list[Rgb]]:
        """All of the set restored, in the order of `by_task`.

        The processes of `group` share it; `check` is called before each image of each, and may
        raise.
        """

        def restore(pair: Pair) -> Rgb:
            check()
            return restorer.restore([self.images.image(pair.degraded_id)], pair.degradation)[0]

        pairs = [pair for own in self.by_task().values() for pair in own]
        images = (group or World()).spread(pairs, restore)
        found: dict[Degradation, list[Rgb]] = defaultdict(list)
        for pair, image in zip(pairs, images, strict=True):
            found[pair.degradation].append(image)
        return dict(found)

    def score(self, restored: dict[Degradation, list[Rgb]]) -> dict[str, Any]:
        """The score, the mean over the tasks' means of signed products, and that of each task.

        `score_failed` counts images that the judge failed on, which are left out. No score at all
        where it failed on all of a degradation: the mean of the others says nothing beside one over
        all, since degradations differ by more than steps do.
        """
        before = self._degraded()
        means: dict[str, float] = {}
        failed = 0
        for task, own in self.by_task().items():
            products = []
            after = self.judge.judge(restored[task], task)
            for pair, image, judged in zip(own, restored[task], after, strict=True):
                first = before[f"{task}/{pair.degraded_id}"]
                if first is None or judged.severity is None:
                    failed += 1
                    continue
                distance = self.consistency.distance(self.images.image(pair.degraded_id), image)
                products.append(product(distance, judged.severity - first))
            if products:
                means[f"{self.name}_{task}"] = float(np.mean(products))
        row: dict[str, Any] = {"score_failed": failed, **means}
        if len(means) == len(self.by_task()):
            row[self.name] = float(np.mean(list(means.values())))
        return row

    def _degraded(self) -> dict[str, float | None]:
        """Severity by "task/image id" as this judge sees it; where it failed it is asked again."""
        who = {"judge": self.judge.identity.digest, "decoder": DECODER}
        found: dict[str, float | None] = {}
        if self.kept.is_file():
            content = json.loads(self.kept.read_text("utf-8"))
            same = all(content.get(name) == value for name, value in who.items())
            found = content["severities"] if same else {}
        for task, own in self.by_task().items():
            asked = [p.degraded_id for p in own if f"{task}/{p.degraded_id}" not in found]
            if asked:
                answers = self.judge.judge([self.images.image(key) for key in asked], task)
                for key, answer in zip(asked, answers, strict=True):
                    found[f"{task}/{key}"] = answer.severity
                answered = {key: value for key, value in found.items() if value is not None}
                write_json(self.kept, {**who, "severities": answered})
        return found


@dataclass
class _Elsewhere:
    """The judge as the processes know it that do not judge."""

    identity: Identity

    def judge(self, images: Sequence[Rgb], degradation: Degradation) -> list[Judgement]:
        raise AssertionError("the first process judges")


def make_scorer(
    stage: Stage,
    pairs: Sequence[Pair],
    images: PairImages,
    scratch: Path,
    group: World | None = None,
) -> Scorer | None:
    """As `stage` says; None where `score_images` is 0. A collective call. Raises `UserError`.

    The first process of `group` judges, so the others load no judge.
    """
    if not stage.score_images:
        return None
    loaded: list[Judge] = []

    def load() -> Identity:
        loaded.append(load_judge(stage.score_judge))
        return loaded[0].identity

    identity = (group or World()).first_only(load)
    return Scorer(
        choose(pairs, stage.score_images),
        images,
        loaded[0] if loaded else _Elsewhere(identity),
        load_consistency(stage.score_consistency),
        scratch / "score-degraded.json",
    )
