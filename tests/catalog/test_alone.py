"""Two processes at once in a folder, and one that was killed there."""

import subprocess
import sys
from pathlib import Path

import pytest

from catalog.alone import alone
from catalog.errors import UserError

HOLD = """
import sys
from pathlib import Path
from catalog.alone import alone
with alone(Path(sys.argv[1]), "Held."):
    print("held", flush=True)
    sys.stdin.read()
"""


def _hold(folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLD, str(folder)]
    holder = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_the_second_is_refused_and_a_killed_holder_leaves_nothing(tmp_path: Path) -> None:
    with _hold(tmp_path / "work") as holder:
        with (
            pytest.raises(UserError, match=r"Somebody is at work\. Wait for its end"),
            alone(tmp_path / "work", "Somebody is at work."),
        ):
            raise AssertionError("both are there")
        holder.kill()
    with alone(tmp_path / "work", "Somebody is at work."):
        pass
