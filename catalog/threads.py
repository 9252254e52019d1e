"""How many cores there are, and how many threads the libraries of a worker process take."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> int:
    """Cores that this process may use, at least 1.

    Those of the machine, but no more than its affinity (taskset, Slurm) and its control group's
    quota (Docker, Kubernetes) leave it, and than LOKY_MAX_CPU_COUNT where that is set.
    """
    import joblib

    return int(joblib.cpu_count())


def limit_threads(count: int) -> None:
    """Let OpenCV, BLAS and PyTorch take `count` threads in this process, or OMP_NUM_THREADS.

    For processes that share the cores already: threads on top of that spin and wait for each other,
    at several times the CPU time. Libraries that are imported later obey too.
    """
    import cv2
    from threadpoolctl import threadpool_limits

    given = os.environ.get("OMP_NUM_THREADS", "")
    count = int(given) if given.isdecimal() and int(given) else count
    os.environ.update(dict.fromkeys(_VARIABLES, str(count)))
    threadpool_limits(count)
    cv2.setNumThreads(count)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(count)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """PyTorch takes one thread for every thread that asks it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
