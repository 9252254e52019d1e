"""`mendline judge`, `screen` and `dedupe` are killed, interrupted or run out of disk, and go on."""

import errno
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from catalog import files
from catalog.degradations import Degradation
from catalog.errors import UserError
from flows.cli import main
from flows.cli.hashed import hashed
from flows.cli.unfinished import Unfinished, key
from tests.evaluation.judge_server import JudgeServer, serving

REPOSITORY = Path(__file__).parents[2]
IMAGES, BATCH = {"judge": 15, "screen": 5}, {"judge": 8, "screen": 4}
FIRST = {name: batch - 1 for name, batch in BATCH.items()}
"""Images of the first batch, which holds one that is none."""
QUESTIONS = {"judge": 2, "screen": 9}
"""About an image."""


class Trap(JudgeServer):
    """Answers by the picture; does `spring` once, before it answers request number `at`."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.at = -1
        self.spring: Any = None
        self.broken = False

    def _answer(self, pixels: np.ndarray, number: int) -> str:
        if number == self.at:
            self.spring()
        return "退化分数：" + ("?" if self.broken else str(1 + int(pixels[0, 0, 0]) % 5))


@pytest.fixture
def trap() -> Iterator[Trap]:
    with serving(Trap()) as server:
        assert isinstance(server, Trap)
        yield server


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with images in `judge` and `screen`.

    One of them is there twice, and one is none.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.import_module("flows.cli.judge"), "BATCH", BATCH["judge"])
    for folder, images in IMAGES.items():
        (tmp_path / folder).mkdir()
        for number in range(images):
            Image.new("RGB", (64, 64), (3 * number, 100, 200)).save(f"{folder}/{number:02}.png")
        shutil.copy(f"{folder}/03.png", f"{folder}/zz-again.png")
        Path(folder, "00-page.jpg").write_text("<html></html>")
    return tmp_path


def _command(name: str, server: str, place: Path, model: str = "m", **screen: Any) -> list[str]:
    """The command, and a params.yaml of its own for `screen`."""
    judge = f"openai:{model}@{server}"
    if name == "judge":
        options = ["-d", "rain", "-d", "blur", "--judge", judge]
        return ["judge", "judge", *options, "--out", "t.parquet"]
    params = yaml.safe_load((REPOSITORY / "profiles/embedded.yaml").read_text())
    params["screen"] |= {"judge": judge, "batch_size": BATCH["screen"]} | screen
    (place / "params.yaml").write_text(yaml.safe_dump(params))
    return ["screen", "screen", "--out", "t.parquet", "--sheet", "s.html"]


def _run(command: list[str], cache: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """With a store of answers of its own, which would else hide what is asked again."""
    monkeypatch.setenv("MENDLINE_JUDGE_CACHE", str(Path(cache).absolute()))
    with pytest.raises(SystemExit) as ended:
        main(command)
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("judge", signal.SIGKILL), ("judge", signal.SIGINT), ("screen", signal.SIGKILL)],
)
def test_a_killed_run_goes_on_and_gives_the_same_bytes(
    name: str,
    kind: signal.Signals,
    here: Path,
    trap: Trap,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = _command(name, trap.url, here)
    outputs = [Path(one) for one in command if one.endswith((".parquet", ".html"))]
    # Nothing of the tests' own handling of Ctrl-C may reach the process.
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += f"import flows.cli.judge; sys.modules['flows.cli.judge'].BATCH = {BATCH['judge']}; "
    code += f"flows.cli.main({command!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "MENDLINE_JUDGE_CACHE": str(here / "a")},
        stderr=subprocess.PIPE,
        text=True,
    )
    # In the second batch's first question: those about the first batch are answered.
    trap.at = QUESTIONS[name] * FIRST[name] + 5
    trap.spring = lambda: process.send_signal(kind)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == (130 if kind == signal.SIGINT else -kind), said
    assert "Traceback" not in said
    assert ("the same command goes on" in said) == (kind == signal.SIGINT)
    assert not any(one.exists() for one in outputs)

    trap.requests = 0
    assert _run(command, "b", monkeypatch) == 0
    assert trap.requests == QUESTIONS[name] * (IMAGES[name] - FIRST[name])
    went_on = [one.read_bytes() for one in outputs]
    assert not list(here.glob(".*.unfinished"))

    trap.requests = 0
    assert _run(command, "c", monkeypatch) == 0
    assert trap.requests == QUESTIONS[name] * IMAGES[name]
    assert [one.read_bytes() for one in outputs] == went_on


def test_dedupe_that_was_killed_hashes_the_rest_and_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from curation import hash_files

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Path("photos").mkdir()
    for number in range(12):
        picture = Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8))
        picture.resize((160, 120), Image.Resampling.BICUBIC).save(f"photos/{number:02}.png")
    shutil.copy("photos/03.png", "photos/again.png")
    Path("photos/00-page.jpg").write_text("<html></html>")
    command = ["dedupe", "photos", "--out", "t.parquet"]
    code = f"""
import os, signal, sys
import flows.cli.hashed
flows.cli.hashed.BATCH = 4
def watch(event, arguments):
    if event == "open" and str(arguments[0]).endswith("photos/09.png"):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
flows.cli.main({command!r})
"""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not Path("t.parquet").exists()
    kept = Path(".t.parquet.unfinished").read_bytes()
    assert len(kept.splitlines()) == 8, "two batches of the nine that were hashed"

    again: list[str] = []
    real = hash_files.hash_file

    def counted(side: int, path: Path) -> dict[str, Any]:
        again.append(path.name)
        return real(side, path)

    def run() -> bytes:
        again.clear()
        assert _run(command, "unused", monkeypatch) == 0
        assert not Path(".t.parquet.unfinished").exists()
        return Path("t.parquet").read_bytes()

    monkeypatch.setattr(hash_files, "hash_file", counted)
    went_on = run()
    assert again == ["00-page.jpg", "08.png", "09.png", "10.png", "11.png"]
    assert "Going on: 8 answers of an earlier run" in capsys.readouterr().err
    assert run() == went_on
    assert len(again) == 14
    # What was kept of a file that changed since, or for another side, is not taken.
    Path(".t.parquet.unfinished").write_bytes(kept)
    shutil.copy("photos/11.png", "photos/00.png")
    run()
    assert "00.png" in again and "01.png" not in again
    # All are kept before the comparing begins.
    place = Unfinished(tmp_path / "kept")
    assert len(list(hashed(sorted(Path("photos").glob("*.png")), 96, place))) == 13
    assert len(place) == 11, "00.png is now 11.png, and 03.png is there twice"
    place.close()


def _left(command: list[str], trap: Trap, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that the judge leaves at request `at`."""
    trap.at, trap.spring = at, lambda: setattr(trap, "broken", True)
    assert _run(command, "left", monkeypatch) == 1
    trap.at, trap.broken, trap.requests = -1, False, 0


def test_another_judge_and_another_file_are_asked_about(
    here: Path, trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = 2 * FIRST["judge"]
    every = 2 * IMAGES["judge"]
    _left(_command("judge", trap.url, here), trap, first, monkeypatch)
    kept = len(Path(".t.parquet.unfinished").read_bytes().splitlines())
    assert kept == first
    shutil.copy(".t.parquet.unfinished", "kept")
    assert _run(_command("judge", trap.url, here, "m#2"), "d", monkeypatch) == 0
    assert trap.requests == every

    shutil.copy("kept", ".t.parquet.unfinished")
    trap.requests = 0
    Image.new("RGB", (64, 64), (7, 7, 7)).save("judge/00.png")
    assert _run(_command("judge", trap.url, here), "e", monkeypatch) == 0
    assert trap.requests == every - first + 2


def test_another_setting_screens_again(
    here: Path, trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    _left(_command("screen", trap.url, here), trap, 9 * FIRST["screen"], monkeypatch)
    assert Path(".t.parquet.unfinished").exists()
    assert _run(_command("screen", trap.url, here, degraded_at=3.1), "f", monkeypatch) == 0
    assert trap.requests == 9 * IMAGES["screen"]


def test_a_full_disk_costs_no_answer_that_was_kept(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The system's limit on a file's size stands in for a full disk: a line is cut short."""
    from networks.judges.proxy.judge import ProxyJudge

    asked: list[int] = []
    judge = ProxyJudge.judge

    def counted(self: ProxyJudge, images: list[np.ndarray], degradation: Degradation) -> Any:
        asked.append(len(images))
        return judge(self, images, degradation)

    monkeypatch.setattr(ProxyJudge, "judge", counted)
    monkeypatch.setattr(files, "_NO_SPACE", {errno.EFBIG})
    command = ["judge", "judge", "-d", "noise", "--out", "t.parquet"]
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, old[1]))
    try:
        assert _run(command, "a", monkeypatch) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert "No space left" in capsys.readouterr().err
    left = Path(".t.parquet.unfinished").read_bytes()
    kept = [json.loads(line) for line in left.splitlines()]
    assert len(kept) == FIRST["judge"]
    assert asked == [FIRST["judge"], IMAGES["judge"] - FIRST["judge"]]

    asked.clear()
    assert _run(command, "a", monkeypatch) == 0
    assert sum(asked) == IMAGES["judge"] - len(kept)
    assert "Going on: 7 answers" in capsys.readouterr().err


def test_two_runs_for_one_output_do_not_mix(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Unfinished(here / ".t.parquet.unfinished")
    command = ["judge", "judge", "-d", "noise", "--out", "t.parquet"]
    assert _run(command, "a", monkeypatch) == 1
    assert "Another run is at work" in capsys.readouterr().err
    other.close()
    assert not other.path.exists(), "what is empty goes"


@pytest.mark.parametrize("tail", [b'["', b"\0" * 40, b'["00", 1]', b"[1, 2]\n", b"7\n", b"\xff\n"])
def test_what_a_crash_left_of_a_line_is_cut_off(tail: bytes, tmp_path: Path) -> None:
    place = tmp_path / "deep/kept"
    first = Unfinished(place)
    half = np.float32(1) / np.float32(3)
    first.put({key("a"): {"number": half}, key("b"): [1, None, "ö"]})
    first.close()
    with place.open("ab") as file:
        file.write(tail)
    again = Unfinished(place)
    assert len(again) == 2
    again.put({key("c"): True})
    again.close()
    last = Unfinished(place)
    assert last.get(key("a")) == {"number": float(half)}
    assert last.get(key("b")) == [1, None, "ö"]
    assert last.get(key("c")) is True
    assert last.get(key("d")) is None
    last.close(done=True)
    assert not place.exists()


def test_a_place_that_is_no_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        Unfinished(tmp_path / "kept")
