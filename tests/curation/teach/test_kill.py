"""A teach stage that is killed goes on where it was."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from catalog import schemas
from catalog.tables import read_table
from tests.curation.conftest import Tree

REPOSITORY = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "curation.teach"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


def test_sigkill_loses_at_most_the_image_it_was_at(tree: Tree) -> None:
    root, scratch = tree.layout.root, tree.layout.scratch("teach")
    shutil.copy(REPOSITORY / "profiles/embedded.yaml", tree.layout.params)
    process = subprocess.Popen(COMMAND, cwd=root, env=ENVIRONMENT, start_new_session=True)
    while not list(scratch.rglob("*.parquet")):
        try:
            code = process.wait(0.005)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"the stage ended by itself with {code} before it was killed")
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not tree.layout.targets.exists()
    before = {path: path.stat().st_mtime_ns for path in scratch.rglob("*.parquet")}
    assert 0 < len(before) < 8

    subprocess.run(COMMAND, cwd=root, env=ENVIRONMENT, check=True)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    rows = read_table(tree.layout.targets / "targets.parquet", schemas.TARGETS).to_pylist()
    degraded = [row["degraded_id"] for row in rows]
    assert len(degraded) == len(set(degraded)) == 8
    assert not list(tree.layout.targets.parent.glob(".targets*"))
