"""The GPU benchmark's own code at its debug size, so that it runs where a GPU is at hand."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks.train_step1x_gpu import VARIANTS, run
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


def test_a_whole_step_is_measured_beside_the_network_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(
        VARIANTS,
        "whole",
        {"checkpointed": 1.0, "step": "adamw", "whole": True},
    )
    row = run("whole", debug=True, repeats=1)
    assert row["finite"]
    assert row["seconds"] > 0 and row["network_seconds"] > 0
    assert row["beside_network"] == pytest.approx(row["seconds"] / row["network_seconds"] - 1, 0.05)
    assert 0 <= row["data_wait"] < 1
