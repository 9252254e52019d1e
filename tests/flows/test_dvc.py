"""DVC as a subprocess: nothing outlives its caller, errors are the stage's own words."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from catalog.errors import UserError
from flows import dvc
from flows.workspace import Workspace, create

STAGE = """\
import os, sys, time
from pathlib import Path
from catalog.errors import UserError
from catalog.stage import Counts, run_stage

def run(layout, params):
    if Path("fail").exists():
        raise UserError("The table of greetings is empty.", "Write a greeting.")
    Path("pid").write_text(str(os.getpid()))
    while Path("hold").exists():
        time.sleep(0.02)
    Path("out.txt").write_text(Path("in.txt").read_text().upper())
    return Counts(1, 1)

run_stage("greet", run)
"""

GRAPH = """\
stages:
  greet:
    cmd: python greet.py
    deps: [in.txt, greet.py]
    outs: [out.txt]
  copy:
    cmd: cp out.txt copy.txt
    deps: [out.txt]
    outs: [copy.txt]
"""


@pytest.fixture
def tree(tmp_path: Path) -> Workspace:
    tree = create(tmp_path / "tree")
    (tree.root / "dvc.yaml").write_text(GRAPH)
    (tree.root / "greet.py").write_text(STAGE)
    (tree.root / "in.txt").write_text("hello")
    return tree


def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _stage_pid(tree: Workspace) -> int:
    path = tree.root / "pid"
    _until(lambda: path.exists() and bool(path.read_text()))
    return int(path.read_text())


def _gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_what_ran_and_what_was_done_already_is_told(tree: Workspace) -> None:
    lines: list[str] = []
    first = dvc.repro(tree.root, on_line=lines.append)
    assert first.ran == ["greet", "copy"]
    assert (tree.root / "copy.txt").read_text() == "HELLO"
    assert any("Running stage 'greet'" in line for line in lines)
    second = dvc.repro(tree.root)
    assert (second.ran, second.skipped) == ([], ["greet", "copy"])
    (tree.root / "in.txt").write_text("bye")
    assert dvc.changed(tree.root) == ["greet"]
    assert dvc.repro(tree.root, ["greet"]).ran == ["greet"]


def test_a_failed_stage_speaks_for_itself_and_the_next_run_goes_on(tree: Workspace) -> None:
    (tree.root / "fail").touch()
    with pytest.raises(UserError) as caught:
        dvc.repro(tree.root)
    assert caught.value.what == (
        "The stage greet failed.\ngreet: The table of greetings is empty.\nWrite a greeting."
    )
    assert "dvc-repro.log" in caught.value.remedy
    (tree.root / "fail").unlink()
    assert dvc.repro(tree.root).ran == ["greet", "copy"]


_CALLER = """\
import signal, sys
from pathlib import Path
from flows import dvc
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
dvc.repro(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_stage_outlives_its_caller(tree: Workspace, how: signal.Signals) -> None:
    (tree.root / "hold").touch()
    caller = subprocess.Popen(
        [sys.executable, "-c", _CALLER, str(tree.root)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )
    pid = _stage_pid(tree)
    os.kill(caller.pid, how)
    caller.wait(30)
    _until(lambda: _gone(pid))
    (tree.root / "hold").unlink()
    assert dvc.repro(tree.root).ran == ["greet", "copy"]
    assert (tree.root / "copy.txt").read_text() == "HELLO"


_HOLDER = """\
import sys
from pathlib import Path
from flows import dvc
with dvc.exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_in_one_work_tree_is_refused(tree: Workspace) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tree.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="Another Mendline run is at work"):
        dvc.repro(tree.root, wait=0.1)
    holder.communicate("")
    assert dvc.repro(tree.root).ran


def test_a_lock_table_that_a_killed_dvc_left_is_mended(tree: Workspace) -> None:
    table = tree.root / ".dvc/tmp/rwlock"
    table.parent.mkdir(parents=True, exist_ok=True)
    path = str(tree.root / "out.txt")
    # Cut off in the middle; and an entry whose process number is now somebody else's: ours.
    stale = {"write": {path: {"pid": os.getpid(), "cmd": "dvc repro"}}, "read": {}}
    for content in ('{"write": {"/', json.dumps(stale)):
        table.write_text(content)
        assert dvc.repro(tree.root, wait=1).skipped or dvc.repro(tree.root).ran is not None


def test_data_goes_to_the_local_remote(tree: Workspace) -> None:
    (tree.root / "data/raw").mkdir(parents=True)
    (tree.root / "data/raw/shard").write_text("bytes")
    dvc.add(tree.root, "data/raw")
    dvc.push(tree.root)
    assert list((tree.root / ".mendline/remote").rglob("*")), "nothing was pushed"
    with pytest.raises(UserError, match="dvc add"):
        dvc.add(tree.root, "not-there")
