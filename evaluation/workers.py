"""Restoring and judging in several processes, each on a GPU of its own where there are any.

The workers do the same batches as the stage would, into the same places: restored images in the
scratch folder, answers in the judge's store. The stage then goes over the benchmark as ever and
finds everything there, so the scores do not depend on how many workers there were, and a kill at
any moment costs what was under way.

A worker that dies (out of memory, a segmentation fault) is replaced; see evaluation.attempts for
what happens to the image that killed it.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from pebble import ProcessExpired, ProcessPool

from catalog.errors import UserError
from catalog.log import logger
from catalog.progress import track
from catalog.threads import cores, limit_threads
from evaluation.batches import batches, work
from evaluation.benchmark import Benchmark
from evaluation.judging import CachedJudge
from evaluation.restoring import Source

MOST_DEATHS = 10
"""Of worker processes in one run, before it is called off."""


@dataclass(frozen=True)
class Work:
    """All that a worker needs, in a form that crosses to another process."""

    reopen: Callable[[], Benchmark]
    digest: str
    source: Callable[[Benchmark], Source]
    judge: str
    answers: Path
    batch_size: int


def places(workers: int) -> list[str | None]:
    """CUDA_VISIBLE_DEVICES of each of `workers` processes (0: one a GPU), None without a GPU."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = given.split(",")[:count] if given else [str(index) for index in range(count)]
    wanted = workers or max(1, count)
    return [names[index % count] if count else None for index in range(wanted)]


def share(work: Work, count: int, devices: Sequence[str | None]) -> None:
    """Do batches 0 .. `count` - 1, every n-th by one of n processes.

    Raises `UserError` when workers die too often, and what a worker raised.
    """
    threads = max(1, cores() // len(devices))
    pools = [
        ProcessPool(
            max_workers=1,
            context=get_context("spawn"),  # CUDA does not survive a fork
            initializer=_tell,
            initargs=(work, device, threads),
        )
        for device in devices
    ]
    try:
        for _ in track(_done(pools, count), "restore and judge", total=count):
            pass
    except BaseException:
        for pool in pools:
            pool.stop()
        raise
    finally:
        for pool in pools:
            pool.close()
            pool.join()


def _done(pools: Sequence[ProcessPool], count: int) -> Iterator[int]:
    """Numbers of batches as they are done; those of a dead worker are given out again."""
    deaths = 0
    waiting = list(range(count))
    while waiting:
        futures: dict[Future, int] = {
            pools[index % len(pools)].schedule(_do, args=(index,)): index for index in waiting
        }
        again = []
        for future in as_completed(futures):
            index = futures[future]
            try:
                future.result()
            except ProcessExpired as died:
                deaths += 1
                again.append(index)
                logger(__name__).warning("worker died", batch=index, status=died.exitcode)
                if deaths >= MOST_DEATHS:
                    raise UserError(
                        f"{deaths} worker processes died while they restored or judged, the last "
                        f"with status {died.exitcode}.",
                        "Their memory may not suffice: try fewer evaluate.workers or a smaller "
                        "evaluate.batch_size. What was done is kept; run the same command again.",
                    ) from died
            else:
                yield index
        waiting = sorted(again)


@dataclass
class _Worker:
    benchmark: Benchmark
    source: Source
    judge: CachedJudge
    batch_size: int


_given: Work | None = None
_worker: _Worker | None = None


def _tell(given: Work, device: str | None, threads: int) -> None:
    """What a new process is told. Nothing that may fail: that is for `_do`, whose errors and death
    reach the stage, while a process that ends before its first batch takes the pool with it."""
    global _given
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    limit_threads(threads)
    _given = given


def _start(given: Work) -> _Worker:
    from networks.judges import load_judge

    benchmark = given.reopen()
    if benchmark.digest != given.digest:
        raise UserError(
            "The benchmark changed while it was evaluated.", "Run the same command again."
        )
    judge = CachedJudge(load_judge(given.judge), given.answers, given.batch_size)
    return _Worker(benchmark, given.source(benchmark), judge, given.batch_size)


def _do(index: int) -> None:
    global _worker
    if _given is None:
        raise RuntimeError("the worker was not told what to do")
    if _worker is None:
        _worker = _start(_given)
    items = batches(_worker.benchmark.items, _worker.batch_size)[index]
    work(_worker.benchmark, items, _worker.source, _worker.judge)
