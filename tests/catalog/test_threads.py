"""How many cores there are for a process, and how many threads a worker's libraries take."""

import json
import os
import subprocess
import sys

import pytest
import torch

from catalog.threads import one_thread_each

ASK = """
import json, sys
import numpy, scipy.linalg  # loaded before, as in a worker that was forked from a server
from catalog.threads import limit_threads
limit_threads(int(sys.argv[1]))
import cv2, torch
from threadpoolctl import threadpool_info
pools = [pool["num_threads"] for pool in threadpool_info()]
print(json.dumps([cv2.getNumThreads(), torch.get_num_threads(), *pools]))
"""


def ask(count: int, **environment: str) -> list[int]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-c", ASK, str(count)]
    done = subprocess.run(command, env=kept | environment, capture_output=True, check=True)
    found: list[int] = json.loads(done.stdout)
    assert len(found) > 3  # a BLAS at least was there to be limited
    return found


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="one core, or a system without affinity",
)
def test_cores_are_those_that_the_process_may_use() -> None:
    asked = (
        "import os; from catalog.threads import cores; before = cores();"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(before, cores())"
    )
    kept = {name: value for name, value in os.environ.items() if name != "LOKY_MAX_CPU_COUNT"}
    done = subprocess.run(
        [sys.executable, "-c", asked], env=kept, capture_output=True, text=True, check=True
    )
    before, after = map(int, done.stdout.split())
    assert before > after == 1


def test_libraries_loaded_before_and_after_take_one_thread() -> None:
    assert set(ask(1)) == {1}


def test_what_the_user_set_stays() -> None:
    assert set(ask(2, OMP_NUM_THREADS="1")) == {1}


def test_one_thread_lasts_no_longer_than_its_block() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError, match="inside"), one_thread_each():
            inside = torch.get_num_threads()
            raise ValueError("inside")
        assert (inside, torch.get_num_threads()) == (1, 2)
    finally:
        torch.set_num_threads(before)
