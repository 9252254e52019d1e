"""What people get wrong with the commands: each ends with words, not with a traceback."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import encode_png
from curation.collect.sources.folder import Folder
from curation.deduplicate.benchmarks import find_images
from evaluation.benchmark import read_task
from flows.cli import main
from flows.cli.folders import image_files
from flows.cli.review_pairs import _listen


class _NoJudge(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_error(404)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a folder of photos, one of texts that are named like photos."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(encode_png(rng.integers(0, 256, (80, 96, 3), np.uint8)))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/x.jpg").write_text("a text")
    (tmp_path / "texts/empty.png").touch()
    return tmp_path


def _ends(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says, which must end with a status of a user's error."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    said = capsys.readouterr()
    assert ended.value.code in (1, 2), said
    return said.err


@pytest.mark.parametrize(
    "command",
    [
        ["dedupe", "texts", "--out", "found.parquet"],
        ["screen", "texts", "--out", "found.parquet"],
        ["screen", "texts"],
        ["judge", "texts", "-d", "blur", "--out", "found.parquet"],
        ["degrade", "texts", "-d", "blur", "--out", "found"],
        ["restore", "texts", "-d", "blur", "--out", "found"],
    ],
    ids=lambda command: f"{command[0]} {len(command)}",
)
def test_files_of_which_none_is_an_image_are_no_success(
    here: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "None of the 2 files in texts is an image that can be read." in _ends(capsys, *command)


def test_a_judge_that_answers_nothing_is_no_success(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _NoJudge) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            name = f"openai:m@http://127.0.0.1:{server.server_port}/v1"
            said = _ends(capsys, "judge", "photos", "-d", "blur", "--judge", name)
        finally:
            server.shutdown()
    assert f"The judge {name} answered none of 1 questions (the first: " in said


@pytest.mark.parametrize("command", ["dedupe", "screen", "judge"])
def test_a_table_is_not_written_under_the_name_of_another_format(
    here: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Name found.parquet" in _ends(capsys, command, "photos", "--out", "found.csv")
    assert not (here / "found.csv").exists()


def test_no_process_trains_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--processes" in _ends(capsys, "train", "transfer", "--dry-run", "--processes", "0")


def test_an_address_that_is_none_is_said_in_words() -> None:
    with pytest.raises(UserError, match=r"256\.1\.1\.1:0 cannot be listened on: (?!Unknown)"):
        _listen("256.1.1.1", 0)


def test_a_photo_by_any_of_its_suffixes_is_seen_by_all_who_read_folders(here: Path) -> None:
    (here / "photos/a.png").rename(here / "photos/a.JFIF")
    one = here / "photos/a.JFIF"
    assert image_files(here / "photos") == [one]
    assert find_images(here / "photos") == [one]  # of a benchmark: it must not enter training
    assert [item.name for item in read_task(here / "photos", Degradation.BLUR).items] == ["a.JFIF"]
    assert [item.key for item in Folder(here / "photos").items()] == [str(one)]
