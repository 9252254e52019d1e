"""Worker processes on this machine."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from catalog.errors import UserError


@contextmanager
def worker_pool(
    count: int,
    what: str,
    initializer: Callable[..., object],
    initargs: tuple[Any, ...],
    preload: Sequence[str] = (),
) -> Iterator[ProcessPoolExecutor]:
    """A pool of `count` processes for the work `what`, each begun by `initializer`.

    Modules of `preload` are imported once for all of them, in this pool and later ones, unless this
    process had a pool before. Raises `UserError` where a process dies. Work that has not begun is
    not done then, nor where the caller fails or stops.
    """
    # Forking a process with threads (torch, faiss, OpenCV) can hang, so workers start afresh.
    context = multiprocessing.get_context("forkserver")
    if preload:
        context.set_forkserver_preload([*preload])
    with ProcessPoolExecutor(count, context, initializer, initargs) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            raise UserError(
                f"A process of `{what}` was killed or crashed; most often the memory did not "
                "suffice.",
                "Look into the system's log (`dmesg`), give it more memory, and run the same "
                "command again: it goes on after what is finished.",
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
