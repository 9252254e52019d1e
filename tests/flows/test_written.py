"""`mendline restore` and `degrade` are killed and go on; nobody else's file is overwritten."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flows.cli import main
from flows.cli.unfinished import Unfinished
from flows.cli.written import RECORD
from networks.degraders.base import ParametricDegrader
from networks.restorers.classical import Classical

REPOSITORY = Path(__file__).parents[2]
RESTORE = ["restore", "in", "-d", "haze"]
DEGRADE = ["degrade", "in", "-d", "noise", "--seed", "3"]
KILLED = """
import os, signal, sys
def hook(event, arguments):
    if event == {event!r} and str(arguments[{place}]).endswith({file!r}):
        os.kill(os.getpid(), {signal})
from flows.cli import main
sys.addaudithook(hook)
main({command!r})
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with five images in `in`, two of them of one content, and one that is none.

    One has a name that is not UTF-8.
    """
    monkeypatch.chdir(tmp_path)
    Path("in/deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png", os.fsdecode(b"deep/\xff.png")):
        Image.fromarray(rng.integers(0, 255, (40, 48, 3), np.uint8)).save(f"in/{name}")
    shutil.copy("in/b.png", "in/deep/b.png")
    Path("in/page.jpg").write_text("<html></html>")
    return tmp_path


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each image that is restored or degraded."""
    made: list[int] = []

    def counted(real: Any) -> Any:
        def call(*arguments: Any) -> Any:
            made.append(1)
            return real(*arguments)

        return call

    for kind, name in ((Classical, "restore"), (ParametricDegrader, "degrade_with_parameters")):
        monkeypatch.setattr(kind, name, counted(getattr(kind, name)))
    return made


def _run(command: list[str], out: str = "out") -> int:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--out", out])
    return int(ended.value.code or 0)


def _files(folder: str) -> dict[str, bytes]:
    """Content by name, less what is hidden."""
    found = [one for one in Path(folder).rglob("*") if one.is_file() and one.name[0] != "."]
    return {str(one.relative_to(folder)): one.read_bytes() for one in found}


@pytest.mark.parametrize(
    ("command", "event", "file", "kind", "there"),
    [
        (RESTORE, "open", "in/c.png", signal.SIGKILL, 2),
        # The first result has just come into its place: its folder is opened to be synced.
        (RESTORE, "open", "out", signal.SIGKILL, 1),
        # The result is named in the record and not yet in its place.
        (DEGRADE, "os.rename", "out/c.png.png", signal.SIGKILL, 2),
        (DEGRADE, "open", "in/c.png", signal.SIGINT, 2),
    ],
)
def test_a_killed_run_goes_on_and_gives_the_same_bytes(
    command: list[str],
    event: str,
    file: str,
    kind: signal.Signals,
    there: int,
    here: Path,
    made: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = KILLED.format(
        event=event,
        place=int(event == "os.rename"),
        file=file,
        signal=int(kind),
        command=[*command, "--out", "out"],
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == (130 if kind == signal.SIGINT else -kind), ended.stderr
    assert "Traceback" not in ended.stderr
    assert ("the same command goes on" in ended.stderr) == (kind == signal.SIGINT)
    assert sorted(_files("out")) == ["a.png.png", "b.png.png"][:there]

    assert _run(command) == 0
    assert len(made) == 5 - there
    assert "5 of 6 images" in (said := capsys.readouterr().out)
    assert f"({there} of them by an earlier run)" in said
    went_on = _files("out")
    made.clear()
    assert _run(command, "whole") == 0
    assert len(made) == 5
    assert "earlier run" not in capsys.readouterr().out
    assert _files("whole") == went_on


def test_another_setting_or_image_is_made_anew(here: Path, made: list[int]) -> None:
    def count(command: list[str]) -> int:
        made.clear()
        assert _run(command) == 0
        return len(made)

    assert count(DEGRADE) == 5
    first = _files("out")
    assert count(DEGRADE) == 0
    assert _files("out") == first
    severe = [*DEGRADE, "--severity", "2"]
    assert count(severe) == 5
    lines = map(json.loads, Path("out/parameters.jsonl").read_text().splitlines())
    assert {line["severity"] for line in lines} == {2.0}
    assert count([*severe[:-3], "4", *severe[-2:]]) == 5
    assert count(RESTORE) == 5
    assert count([*RESTORE[:-1], "blur"]) == 5
    assert count(DEGRADE) == 5, "what was overwritten since is not there"
    assert _files("out") == first
    Image.new("RGB", (40, 40), (7, 7, 7)).save("in/a.png")
    Path("out/b.png.png").unlink()
    assert count(DEGRADE) == 2


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (RESTORE, "c.png.png"),
        (DEGRADE, "deep/b.png.png"),
        (DEGRADE, "parameters.jsonl"),
        (["restore", "in/a.png", "-d", "haze"], "a.png.png"),
    ],
)
def test_a_file_of_the_users_own_is_left(
    command: list[str],
    name: str,
    here: Path,
    made: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("out/deep").mkdir(parents=True)
    Path("out", name).write_bytes(b"mine")
    Path("out/other.txt").write_bytes(b"mine too")
    assert _run(command) == 1
    assert f"{name} would be overwritten" in capsys.readouterr().err
    assert not made
    assert _files("out") == {name: b"mine", "other.txt": b"mine too"}
    assert not Path("out", RECORD).exists()

    Path("out", name).unlink()
    assert _run(command) == 0
    assert Path("out/other.txt").read_bytes() == b"mine too"
    result = Path("out", name)
    result.write_bytes(result.read_bytes() + b"edited")
    assert _run(command) == 1
    assert result.read_bytes().endswith(b"edited")


def test_two_runs_for_one_folder_do_not_mix(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Unfinished(here / "out" / RECORD)
    assert _run(RESTORE) == 1
    assert "Another run is at work" in capsys.readouterr().err
    other.close()


def test_nothing_that_can_be_read_leaves_no_folder(here: Path) -> None:
    assert _run(["restore", "in/page.jpg", "-d", "haze"]) == 1
    assert not Path("out").exists()
