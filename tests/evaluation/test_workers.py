"""Several processes: the same scores, and an image that kills its process costs only itself."""

import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from catalog.settings.evaluation import Evaluate
from evaluation import restoring, workers
from evaluation.attempts import Attempts
from evaluation.batches import batches
from evaluation.benchmark import Benchmark, read_benchmark
from evaluation.evaluate import evaluate_source, restored_by
from evaluation.restoring import Failed, RestorerSource
from evaluation.workers import Work, places, share
from tests.evaluation.parts import Sharpener, write_benchmark

SETTINGS = Evaluate(batch_size=2, repeat_images=6, picture_side=64)


@dataclass
class Killer(Sharpener):
    """Dies with its process on one image, as a segmentation fault would."""

    victim: int = 0

    def restore(self, images: Sequence[Rgb], degradation: Degradation) -> list[Rgb]:
        if any(int(image[0].sum()) == self.victim for image in images):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().restore(images, degradation)


def killed_by(victim: int, scratch: Path, benchmark: Benchmark) -> RestorerSource:
    return RestorerSource(Killer(100, victim=victim), benchmark, scratch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tasks of three images: batches of two and one."""
    return write_benchmark(tmp_path / "benchmark", per_task=3, tasks=2)


def files(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_two_processes_do_the_work_and_the_scores_are_the_same(
    folder: Path, tmp_path: Path
) -> None:
    benchmark, model = read_benchmark(folder), "classical"
    alone = tmp_path / "alone"
    evaluate_source(
        SETTINGS, benchmark, partial(restored_by, model, alone / "r"), alone, tmp_path / "one"
    )

    shared = tmp_path / "shared"
    opened = partial(restored_by, model, shared / "r")
    assert benchmark.reopen is not None
    work = Work(benchmark.reopen, benchmark.digest, opened, "proxy", shared / "judgements.db", 2)
    share(work, len(batches(benchmark.items, 2)), [None, None])
    with sqlite3.connect(shared / "judgements.db") as database:
        assert database.execute("SELECT count(*) FROM answers").fetchone() == (12,)
    made = {path: path.stat().st_mtime_ns for path in (shared / "r").rglob("*.png")}
    assert len(made) == 6
    evaluate_source(SETTINGS, benchmark, opened, shared, tmp_path / "two")
    assert files(tmp_path / "two") == files(tmp_path / "one")


def never_opened(benchmark: Benchmark) -> RestorerSource:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a dead process does not come here")


@pytest.mark.parametrize(
    ("judge", "opened", "what"),
    [
        ("qwen3-vl:/nonexistent", partial(restored_by, "classical"), "/nonexistent"),
        ("proxy", None, "1 worker processes died"),
    ],
)
def test_what_fails_while_a_worker_opens_its_models_is_said(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    judge: str,
    opened: Callable[..., RestorerSource] | None,
    what: str,
) -> None:
    monkeypatch.setattr(workers, "MOST_DEATHS", 1)
    benchmark = read_benchmark(folder)
    assert benchmark.reopen is not None
    source = never_opened if opened is None else partial(opened, tmp_path / "r")
    work = Work(benchmark.reopen, benchmark.digest, source, judge, tmp_path / "a.db", 2)
    with pytest.raises(UserError, match=what):
        share(work, 2, [None])


def _prepare(folder: Path, scratch: Path, victim: int) -> None:
    benchmark = read_benchmark(folder)
    source = killed_by(victim, scratch, benchmark)
    for items in batches(benchmark.items, 2):
        source.prepare(items, [benchmark.image(item) for item in items])


def test_an_image_that_kills_its_process_is_given_up_after_two_deaths_alone(
    folder: Path, tmp_path: Path
) -> None:
    benchmark = read_benchmark(folder)
    item = benchmark.items[1]
    victim = int(benchmark.image(item)[0].sum())
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([restoring.__name__])
    ends = []
    for _ in range(4):
        process = context.Process(target=_prepare, args=(folder, tmp_path / "r", victim))
        process.start()
        process.join(60)
        ends.append(process.exitcode)
    # In its batch, alone, alone again; the fourth process leaves it out and does the rest.
    assert ends == [-signal.SIGKILL] * 3 + [0]
    source = killed_by(victim, tmp_path / "r", benchmark)
    source.prepare([item], [benchmark.image(item)])
    with pytest.raises(Failed, match="2 processes died while restoring it") as info:
        source.get(item, benchmark.image(item))
    assert info.value.outcome == "restorer-failed"
    for other in benchmark.items:
        if other != item:
            source.get(other, benchmark.image(other))


def test_a_note_goes_with_any_end_but_the_processs(folder: Path, tmp_path: Path) -> None:
    items = read_benchmark(folder).items[:2]
    attempts = Attempts(tmp_path)
    with attempts.attempt(items):
        assert attempts.deaths(items) == 1
    with pytest.raises(KeyboardInterrupt), attempts.attempt(items):
        raise KeyboardInterrupt
    assert attempts.deaths(items) == 0
    assert attempts.deaths(items[:1]) == 0


@pytest.mark.slow
def test_a_dead_worker_is_replaced(folder: Path, tmp_path: Path) -> None:
    benchmark = read_benchmark(folder)
    item = benchmark.items[1]
    victim = int(benchmark.image(item)[0].sum())
    opened = partial(killed_by, victim, tmp_path / "r")
    assert benchmark.reopen is not None
    work = Work(benchmark.reopen, benchmark.digest, opened, "proxy", tmp_path / "a.db", 2)
    share(work, len(batches(benchmark.items, 2)), [None, None])
    found = evaluate_source(SETTINGS, benchmark, opened, tmp_path, None)
    assert found.table.outcomes() == {"restorer-failed": 1, "scored": 5}
    assert "processes died while restoring it" in found.failures[item.name]


@pytest.mark.slow
def test_workers_that_keep_dying_end_in_words(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "MOST_DEATHS", 2)
    benchmark = read_benchmark(folder)
    victim = int(benchmark.image(benchmark.items[1])[0].sum())
    assert benchmark.reopen is not None
    opened = partial(killed_by, victim, tmp_path / "r")
    work = Work(benchmark.reopen, benchmark.digest, opened, "proxy", tmp_path / "a.db", 2)
    with pytest.raises(UserError, match="2 worker processes died") as info:
        share(work, 4, [None])
    assert "run the same command again" in info.value.remedy


def test_each_worker_has_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert places(3) == [None, None, None]
    assert places(0) == [None]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert places(0) == ["0", "1"]
    assert places(3) == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert places(0) == ["5", "7"]
