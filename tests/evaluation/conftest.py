"""A work tree with a benchmark, models and evaluations."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from catalog.layout import Layout
from catalog.settings import Params, load_params
from catalog.settings.evaluation import Evaluate
from evaluation.benchmark import read_benchmark
from evaluation.judging import CachedJudge
from evaluation.restoring import RestorerSource
from evaluation.scoring import Evaluation, score
from tests.evaluation.parts import MeanDistance, Sharpener, SharpnessJudge, write_benchmark

if TYPE_CHECKING:
    from evaluation.registry.store import Registry

ROOT = Path(__file__).parents[2]
SETTINGS = Evaluate(batch_size=4, repeat_images=24, picture_side=96)


@pytest.fixture(scope="session")
def benchmark_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine tasks of four images."""
    return write_benchmark(tmp_path_factory.mktemp("benchmark"))


def work_tree(root: Path, benchmark_folder: Path) -> Layout:
    """A work tree with params.yaml and the benchmark, nothing else."""
    shutil.copy(ROOT / "profiles/embedded.yaml", root / "params.yaml")
    shutil.copytree(benchmark_folder, root / "data/benchmark")
    return Layout(root)


@pytest.fixture
def layout(tmp_path: Path, benchmark_folder: Path) -> Layout:
    return work_tree(tmp_path, benchmark_folder)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without any run: its migrations take seconds, a copy does not."""
    from evaluation.registry.store import connect

    made = Layout(tmp_path_factory.mktemp("store"))
    connect(made, "mendline").client.search_registered_models()
    return made.mlflow_database


@pytest.fixture
def registry(layout: Layout, empty_store: Path) -> "Registry":
    """The store of the work tree, empty."""
    from evaluation.registry.store import connect

    layout.mlflow_database.parent.mkdir()
    shutil.copy(empty_store, layout.mlflow_database)
    return connect(layout, "mendline")


@pytest.fixture
def params(layout: Layout) -> Params:
    return load_params(layout.params)


def score_sharpener(layout: Layout, percent: int, out: Path | None, **judge: float) -> Evaluation:
    """Score a Sharpener on the work tree's benchmark into the folder `out`."""
    benchmark = read_benchmark(layout.benchmark)
    scratch = layout.scratch("evaluate")
    source = RestorerSource(Sharpener(percent), benchmark, scratch / "restored")
    with CachedJudge(SharpnessJudge(**judge), scratch / "judgements.db", 4) as cached:
        return score(benchmark, source, cached, MeanDistance(), SETTINGS, out)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Tiny students with random weights, one a seed."""
    import torch

    from catalog.settings.training import Architecture
    from networks.student.files import save_student
    from networks.student.model import StudentDiT

    def make(seed: int) -> Path:
        folder = tmp_path_factory.mktemp(f"model-{seed}")
        torch.manual_seed(seed)
        tiny = Architecture(
            width=16, heads=2, double_blocks=1, single_blocks=1, mlp_ratio=1, tile=32, overlap=8
        )
        save_student(StudentDiT(tiny), folder)
        return folder

    return make
