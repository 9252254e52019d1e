"""The stage as `dvc repro` runs it: killed and resumed, its judge asked no more than it must."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.evaluation import Evaluate
from evaluation.benchmark import read_benchmark
from evaluation.evaluate import evaluate, evaluate_model
from evaluation.judging import CachedJudge
from evaluation.restoring import RestorerSource
from evaluation.scores import ScoreTable
from evaluation.scoring import score
from networks.interfaces import Identity, Judgement
from tests.evaluation.conftest import ROOT, SETTINGS
from tests.evaluation.parts import MeanDistance, Sharpener, SharpnessJudge

STAGE = [sys.executable, "-m", "evaluation.evaluate"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def tree(layout: Layout, model_folder: Callable[[int], Path]) -> Layout:
    """A work tree with a model, and settings for a small benchmark."""
    shutil.copytree(model_folder(0), layout.finetune)
    for task in list(Degradation)[3:]:
        shutil.rmtree(layout.benchmark / task)
    settings = yaml.safe_load(layout.params.read_text())
    settings["evaluate"] |= {"batch_size": 2, "max_side": 64, "repeat_images": 4}
    layout.params.write_text(yaml.safe_dump(settings))
    return layout


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_killed_stage_goes_on_and_ends_with_the_same_bytes(tree: Layout) -> None:
    process = subprocess.Popen(STAGE, cwd=tree.root, env=ENVIRONMENT, start_new_session=True)
    restored = tree.scratch("evaluate") / "restored"
    while process.poll() is None and len(list(restored.rglob("*.png"))) < 4:
        time.sleep(0.02)  # waits for an event of another process, not for time to pass
    assert process.poll() is None, "the stage ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not tree.evaluation.exists()
    kept = {path: path.stat().st_mtime_ns for path in restored.rglob("*.png")}
    assert len(kept) >= 4

    second = subprocess.Popen(STAGE, cwd=tree.root, env=ENVIRONMENT)
    untouched = set(kept)
    while second.poll() is None:
        untouched &= {p for p in kept if not p.exists() or p.stat().st_mtime_ns == kept[p]}
        time.sleep(0.02)
    assert second.returncode == 0
    assert untouched == set(kept), "images that were there have been restored again"
    resumed = files(tree.evaluation)
    metrics = json.loads(tree.metrics("evaluate").read_text())
    assert metrics["rows_in"] == metrics["rows_out"] == 12
    assert {"proxy_fs_released", "proxy_fs_paper", "proxy_rs"} < set(metrics["overall"])
    assert "fs_released" not in metrics["overall"]

    shutil.rmtree(tree.root / ".mendline")
    shutil.rmtree(tree.evaluation)
    assert subprocess.run(STAGE, cwd=tree.root, env=ENVIRONMENT, check=True).returncode == 0
    assert files(tree.evaluation) == resumed


def test_the_degraded_images_are_judged_once_for_all_models(layout: Layout) -> None:
    benchmark = read_benchmark(layout.benchmark)
    asked = []
    for percent in (100, 300):
        judge = SharpnessJudge()
        with CachedJudge(judge, layout.root / "cache.db", 4) as cached:
            source = RestorerSource(Sharpener(percent), benchmark, layout.root / "restored")
            settings = SETTINGS.model_copy(update={"repeat_images": 0})
            score(benchmark, source, cached, MeanDistance(), settings, None)
            asked.append(cached.asked)
    assert asked == [72, 36]


def test_an_answer_of_another_judge_is_not_used(layout: Layout) -> None:
    images = [
        read_benchmark(layout.benchmark).image(i) for i in read_benchmark(layout.benchmark).items
    ]
    task = read_benchmark(layout.benchmark).items[0].degradation
    for version, asked in (("1", 36), ("1", 0), ("2", 36)):
        judge = SharpnessJudge(identity=Identity("sharpness-judge", version))
        with CachedJudge(judge, layout.root / "cache.db") as cached:
            assert len(cached.judge(images, task)) == 36
            assert cached.asked == asked


def test_another_evaluation_that_ends_first_takes_nothing_away(layout: Layout) -> None:
    benchmark = read_benchmark(layout.benchmark)
    item = benchmark.items[0]
    picture = benchmark.image(item)
    mine, other = (
        RestorerSource(Sharpener(100), benchmark, layout.root / "restored") for _ in range(2)
    )
    for source in (mine, other):
        source.prepare([item], [picture])
    found = other.get(item, picture)
    other.discard()
    np.testing.assert_array_equal(mine.get(item, picture), found)


def test_an_image_that_kills_the_restorer_costs_only_itself(layout: Layout) -> None:
    benchmark = read_benchmark(layout.benchmark)
    victim = benchmark.items[5]
    restorer = Sharpener(100, crash_on=frozenset({int(benchmark.image(victim)[0].sum())}))
    with CachedJudge(SharpnessJudge(), layout.root / "cache.db") as cached:
        source = RestorerSource(restorer, benchmark, layout.root / "restored")
        found = score(benchmark, source, cached, MeanDistance(), SETTINGS, layout.evaluation)
    assert found.table.outcomes() == {"restorer-failed": 1, "scored": 35}
    assert "kills the restorer" in found.failures[victim.name]
    assert found.table.rows[5].signed == 0.0
    assert ScoreTable.read(layout.evaluation / "scores.parquet") == found.table


def test_a_judge_that_dies_halfway_ends_the_evaluation_and_loses_no_answer(tmp_path: Path) -> None:
    class Dying:
        identity = Identity("dying", "1")
        left = 5

        def judge(self, images, degradation):  # type: ignore[no-untyped-def]
            alive = min(self.left, len(images))
            self.left -= alive
            gone = Judgement(None, failure="connection refused")
            return [Judgement(2.0)] * alive + [gone] * (len(images) - alive)

    rng = np.random.default_rng(3)
    images = list(rng.integers(0, 256, (40, 64, 64, 3), dtype=np.uint8))
    with CachedJudge(Dying(), tmp_path / "cache.db") as cached:
        with pytest.raises(UserError, match=r"dying/1 left 16 questions .*: connection refused"):
            cached.judge(images, Degradation.BLUR)
        assert cached.asked == 24
        assert [one.severity for one in cached.judge(images[:5], Degradation.BLUR)] == [2.0] * 5
        assert cached.asked == 24, "an answer was lost"


@pytest.mark.parametrize("answer", [0.0, 10.0, float("nan"), float("inf"), -3.0])
def test_an_answer_outside_the_scale_is_a_failure(answer: float, tmp_path: Path) -> None:
    class Wild:
        identity = Identity("wild", "1")

        def judge(self, images, degradation):  # type: ignore[no-untyped-def]
            return [Judgement(answer) for _ in images]

    with CachedJudge(Wild(), tmp_path / "cache.db") as cached:
        (found,) = cached.judge([np.zeros((8, 8, 3), np.uint8)], Degradation.BLUR)
    assert found.severity is None
    assert found.failure is not None and "outside 1..5" in found.failure


def test_without_a_model_or_with_half_of_one(layout: Layout) -> None:
    with pytest.raises(UserError, match=r"no model in .*finetune"):
        evaluate(layout, Evaluate())
    layout.finetune.mkdir(parents=True)
    (layout.finetune / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"no model\.safetensors"):
        evaluate(layout, Evaluate())
    assert not layout.evaluation.exists()


def test_an_unknown_judge_is_named(tree: Layout) -> None:
    with pytest.raises(UserError, match="judge"):
        evaluate(tree, Evaluate(judge="prox"))


def test_no_judge_ends_at_once_and_not_in_a_table_of_failures(
    tree: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MENDLINE_JUDGE_CACHE", str(tree.root / "answers.sqlite"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nobody = f"openai:Qwen/Qwen3-VL-8B-Instruct@http://127.0.0.1:{port}/v1"
    settings = Evaluate(judge=nobody, batch_size=8, max_side=128)
    benchmark = read_benchmark(tree.benchmark, 128)
    with pytest.raises(UserError, match=r"16 questions in a row without.*cannot be reached"):
        evaluate_model(tree, settings, benchmark, "identity", tree.evaluation)
    assert not tree.evaluation.exists()
