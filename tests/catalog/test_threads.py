"""How many threads a worker's libraries take."""

import json
import os
import subprocess
import sys

import pytest

ASK = """
import json, sys
import numpy, scipy.linalg  # loaded before, as in a worker that was forked from a server
from catalog.threads import limit_threads
limit_threads(1)
import cv2, torch
from threadpoolctl import threadpool_info
pools = [pool["num_threads"] for pool in threadpool_info()]
print(json.dumps([cv2.getNumThreads(), torch.get_num_threads(), *pools]))
"""


def ask(**environment: str) -> list[int]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-c", ASK]
    done = subprocess.run(command, env=kept | environment, capture_output=True, check=True)
    found: list[int] = json.loads(done.stdout)
    assert len(found) > 3  # a BLAS at least was there to be limited
    return found


def test_libraries_loaded_before_and_after_take_one_thread() -> None:
    assert set(ask()) == {1}


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has one thread anyway")
def test_what_the_user_set_stays() -> None:
    assert set(ask(OMP_NUM_THREADS="2")) == {2}
