"""The repeat test asks the judge, not a store of its answers."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.benchmark import read_benchmark
from evaluation.judging import CachedJudge
from evaluation.restoring import RestorerSource
from evaluation.scoring import Evaluation, score
from networks.judges.vlm.cache import AnswerCache
from networks.judges.vlm.server import ServerJudge
from tests.evaluation.conftest import SETTINGS
from tests.evaluation.judge_server import JudgeServer, serving
from tests.evaluation.parts import MeanDistance, Sharpener, write_benchmark

SOME = SETTINGS.model_copy(update={"repeat_images": 10})


def steady(pixels: np.ndarray, number: int) -> str:
    return f"退化分数：{1 + int(pixels.mean()) % 5}"


def run(root: Path, server: JudgeServer) -> Evaluation:
    benchmark = read_benchmark(root / "benchmark")
    judge = ServerJudge(server.url, "tiny", cache=AnswerCache(root / "answers.sqlite"))
    with CachedJudge(judge, root / "cache.db", 4) as cached:
        source = RestorerSource(Sharpener(100), benchmark, root / "restored")
        return score(benchmark, source, cached, MeanDistance(), SOME, None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_benchmark(tmp_path / "benchmark", per_task=4, tasks=2)
    return tmp_path


def test_a_steady_judge_repeats_itself_and_is_asked_again(root: Path) -> None:
    with serving(JudgeServer(steady)) as server:
        found = run(root, server)
        assert (found.repeat.images, found.repeat.same, found.repeat.kappa) == (10, 1.0, 1.0)
        assert server.requests == 16 + 10


def test_a_judge_that_changes_its_mind_is_seen_through_its_store(root: Path) -> None:
    def fickle(pixels: np.ndarray, number: int) -> str:
        return steady(pixels, number) if number < 16 else "退化分数：3"

    with serving(JudgeServer(fickle)) as server:
        found = run(root, server)
    assert found.repeat.same < 0.7
    assert found.repeat.kappa < 0.5
