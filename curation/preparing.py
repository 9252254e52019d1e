"""All cores of this machine at work for an embedder."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from catalog.images import Rgb, decode
from catalog.shards import Stored
from catalog.threads import cores, limit_threads, one_thread_each
from curation.worker_pool import worker_pool
from networks.interfaces import Embedder


@dataclass(frozen=True)
class Workers:
    """Where the work on images is done."""

    count: int
    """Cores."""

    prepare: Callable[[Stored], Future[Any]]
    """Begins with an image. The result is what the embedder takes of it, or `ImageRefused`."""

    threads: Executor
    """For what is done with a batch: a thread a core."""


@contextmanager
def all_cores(embedder: Embedder) -> Iterator[Workers]:
    """Threads that prepare images and ask the network; where that is on a GPU, processes prepare.

    Of a photo's six milliseconds more than one is spent holding the interpreter's lock, in copies
    between Pillow, NumPy and torch and in handing the lock on. Beside a network on the CPU that
    does not matter; to a GPU, threads of one process bring no more images however many cores.
    Processes begin with the first image.
    """
    count = cores()
    with one_thread_each(), ThreadPoolExecutor(count, "embed") as threads:
        step = embedder.prepare
        if not embedder.on_gpu:
            yield Workers(count, lambda it: threads.submit(_prepared, it.data, step), threads)
            return
        modules = ("curation.embed", type(step).__module__)
        with worker_pool(count, "embed", _begin, (step,), modules) as pool:
            yield Workers(count, lambda it: pool.submit(_prepared, it.data), threads)


_prepare: Callable[[Rgb], Any]
"""Of this process where it is one of a pool; with every image it would take long to unpickle."""


def _begin(prepare: Callable[[Rgb], Any]) -> None:
    global _prepare
    _prepare = prepare
    limit_threads(1)


def _prepared(data: bytes, prepare: Callable[[Rgb], Any] | None = None) -> Any:
    return (prepare or _prepare)(decode(data))
