"""The benchmark's score while training: which images, what it is, and that it chooses the best."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from catalog.layout import Layout
from catalog.settings.training import Stage, Student
from catalog.shards import ShardStore
from networks.consistency import load_consistency
from networks.interfaces import Judgement
from networks.judges import load_judge
from networks.judges.proxy.judge import ProxyJudge
from networks.restorers import load_restorer
from tests.training.dataset import TINY, make_dataset
from training.draws import Pair
from training.images import PairImages
from training.scoring import Scorer, choose, make_scorer
from training.stage import Inputs, read_pairs, train_stage

TASKS = (Degradation.BLUR, Degradation.LOW_LIGHT)
STAGE = Stage(**{**TINY["transfer"], "score_images": 2, "select_by": "score", "steps": 4})


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("tree"))
    make_dataset(layout, tasks=TASKS, per_task=9)
    return layout


def images_of(layout: Layout) -> PairImages:
    return PairImages(ShardStore(layout.raw, layout.synthetic), 10**8)


def pair(number: int, origin: str, task: Degradation = Degradation.BLUR) -> Pair:
    return Pair(f"p{number}", f"d{number % 5}", f"c{number}", task, origin)


def test_real_images_are_taken_first_and_none_twice() -> None:
    blur = [pair(n, "synthetic") for n in range(3)] + [pair(n, "real") for n in range(3, 13)]
    noise = [pair(n, "synthetic", Degradation.NOISE) for n in range(2)]
    chosen = choose(blur + noise, 4)
    assert Counter((p.degradation.value, p.origin) for p in chosen) == {
        ("blur", "real"): 4,
        ("noise", "synthetic"): 2,
    }
    assert len({p.degraded_id for p in chosen if p.degradation is Degradation.BLUR}) == 4
    assert {p.degraded_id for p in choose(reversed(blur), 4)} == {
        p.degraded_id for p in chosen if p.degradation is Degradation.BLUR
    }


def test_the_score_is_that_of_judge_and_consistency(layout: Layout, tmp_path: Path) -> None:
    pairs, images = read_pairs(layout.dataset)["validation"], images_of(layout)
    judge, consistency, restorer = (
        load_judge("proxy"),
        load_consistency("ms-ssim"),
        load_restorer("classical"),
    )
    scorer = Scorer(choose(pairs, 2), images, judge, consistency, tmp_path / "kept.json")
    row = scorer.score(scorer.restored(restorer))
    tasks = []
    for task in TASKS:
        products = []
        for one in (p for p in scorer.pairs if p.degradation is task):
            before = images.image(one.degraded_id)
            after = restorer.restore([before], task)[0]
            first, second = (judge.judge([image], task)[0].severity for image in (before, after))
            assert first is not None and second is not None
            products.append(0.2 * (1 - consistency.distance(before, after)) * (second - first))
        tasks.append(np.mean(products))
        assert row[f"proxy_fs_{task}"] == pytest.approx(tasks[-1], abs=1e-9)
    assert row["proxy_fs"] == pytest.approx(np.mean(tasks), abs=1e-9)
    assert row["score_failed"] == 0


def test_degraded_images_are_judged_once_a_judge(layout: Layout, tmp_path: Path) -> None:
    pairs, images = read_pairs(layout.dataset)["validation"], images_of(layout)
    kept = tmp_path / "kept.json"
    scorer = make_scorer(STAGE, pairs, images, tmp_path)
    assert scorer is not None
    scorer.kept = kept
    unchanged = scorer.restored(load_restorer("identity"))
    assert scorer.score(unchanged)["proxy_fs"] == pytest.approx(0, abs=1e-9)
    content = json.loads(kept.read_text())
    content["severities"] = dict.fromkeys(content["severities"], 1.0)
    kept.write_text(json.dumps(content))
    assert scorer.score(unchanged)["proxy_fs"] > 0.01  # the file is believed
    for other in ({"judge": "another"}, {"decoder": "another"}):
        kept.write_text(json.dumps({**content, **other}))
        assert scorer.score(unchanged)["proxy_fs"] == pytest.approx(0, abs=1e-9)


class Away(ProxyJudge):
    """Fails on a degradation, as a server does that is away for a while."""

    fails: Degradation | None = None

    def judge(self, images: Sequence[Rgb], degradation: Degradation) -> list[Judgement]:
        if degradation is self.fails:
            return [Judgement(None, failure="no answer")] * len(images)
        return super().judge(images, degradation)


def test_what_a_judge_failed_on_is_asked_again_and_part_of_the_tasks_is_no_score(
    layout: Layout, tmp_path: Path
) -> None:
    pairs, images = read_pairs(layout.dataset)["validation"], images_of(layout)
    judge = Away()
    given = (choose(pairs, 2), images, judge, load_consistency("ms-ssim"), tmp_path / "kept.json")
    scorer = Scorer(*given)
    restored = scorer.restored(load_restorer("classical"))
    whole = Scorer(*given[:-1], tmp_path / "other.json").score(restored)
    judge.fails = TASKS[0]
    row = scorer.score(restored)
    assert row["score_failed"] == 2
    assert f"proxy_fs_{TASKS[1]}" in row and "proxy_fs" not in row
    judge.fails = None
    assert scorer.score(restored) == whole


def test_no_image_to_score_is_an_error(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no validation pair"):
        make_scorer(STAGE, [], images_of(layout), tmp_path)


def test_the_best_checkpoint_is_that_of_the_best_score(layout: Layout, tmp_path: Path) -> None:
    stage = STAGE.model_copy(
        update={"steps": 8, "validate_every": 1, "patience": 2, "checkpoint_every": 100}
    )
    counts = train_stage(
        "transfer",
        Inputs(layout.dataset, (layout.raw, layout.synthetic), None),
        tmp_path / "out",
        tmp_path / "scratch",
        Student(**TINY["student"]),
        stage,
    )
    rows = [json.loads(line) for line in (tmp_path / "out/validation.jsonl").open()]
    scores = [row["proxy_fs"] for row in rows]
    assert counts.extra["best"]["step"] == rows[int(np.argmax(scores))]["step"]
    # Stopped after two validations without a better score, or at the end.
    assert len(rows) == 9 or int(np.argmax(scores)) == len(rows) - 3
