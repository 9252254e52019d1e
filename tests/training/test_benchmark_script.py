"""The GPU benchmark's own code at its debug size, so that it runs where a GPU is at hand."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks.train_step1x_gpu import VARIANTS
from tests.training.dataset import ROOT


@pytest.mark.slow
def test_every_variant_runs_at_debug_size() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.train_step1x_gpu", "--debug", "--here", "--repeats=1"],
        cwd=ROOT,
        # Compiling for this size takes minutes and says nothing about the script.
        env={**os.environ, "OMP_NUM_THREADS": "1", "TORCH_COMPILE_DISABLE": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [row["variant"] for row in rows] == list(VARIANTS)
    assert all(row["finite"] and row["seconds"] > 0 for row in rows)
