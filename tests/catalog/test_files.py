"""Outputs appear whole or not at all, also when the process is killed or the disk is full."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from catalog.errors import UserError
from catalog.files import atomic_file, atomic_folder, write_json


def test_a_failing_block_leaves_the_old_content_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "deep/table"
    with atomic_file(target) as temporary:
        temporary.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(target) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [path.name for path in target.parent.iterdir()] == ["table"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with atomic_folder(target) as temporary:
        (temporary / "a").write_text("1")
    with atomic_folder(target) as temporary:
        (temporary / "b").write_text("2")
    assert [path.name for path in target.iterdir()] == ["b"]
    with pytest.raises(RuntimeError), atomic_folder(target) as temporary:
        (temporary / "c").write_text("3")
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_killed_writer_does_not_touch_the_file(tmp_path: Path) -> None:
    target = tmp_path / "numbers.json"
    write_json(target, {"a": 1})
    script = (
        "import sys, pathlib\n"
        "from catalog.files import atomic_file\n"
        "with atomic_file(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('{')\n"
        "    print('writing', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert target.read_text() == '{\n  "a": 1\n}\n'


def test_what_killed_writers_of_a_folder_left_is_removed_after_a_day(tmp_path: Path) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path\n"
        "from catalog.files import atomic_folder\n"
        "with atomic_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'shard').write_bytes(bytes(99)); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    target = tmp_path / "model"
    assert subprocess.run([sys.executable, "-c", code, str(target)]).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    other = tmp_path / f".model.{os.getppid()}.partial"
    other.mkdir()

    def write() -> set[Path]:
        with atomic_folder(target):
            pass
        return set(tmp_path.iterdir()) - {target}

    assert write() == {left, other}, "its writer may be on another machine"
    for place in (left / "shard", left, other):
        os.utime(place, (0, 0))
    assert write() == {other}, "that one is alive"


def test_a_full_disk_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    # The kernel answers every write to /dev/full with ENOSPC.
    target = tmp_path / "table"
    with pytest.raises(UserError, match="Free some space"), atomic_file(target):
        Path("/dev/full").write_text("x")
    assert not target.exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "file/below/table", tmp_path / "folder", Path("/proc/none/table")):
        with pytest.raises(UserError, match=f"{place} cannot be written"):
            write_json(place, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    with (
        pytest.raises(UserError, match="table cannot be written: Permission denied"),
        atomic_file(tmp_path / "table") as temporary,
    ):
        raise PermissionError(errno.EACCES, f"Failed to open local file '{temporary}'.")
    # Another file of the block, or a temporary that was forgotten, is not the place's fault.
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "a"):
        (tmp_path / "b").read_text()
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "a"):
        pass
