"""What people get wrong with the commands: each ends with words, not with a traceback."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import encode_png
from catalog.settings import parse_params
from curation.collect.sources.folder import Folder
from curation.deduplicate.benchmarks import find_images
from evaluation.benchmark import read_task
from flows.cli import main
from flows.cli.folders import image_files
from flows.cli.review_pairs import _listen

ROOT = Path(__file__).parents[2]


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


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["--reference", "photos", "--task", "blur", "--out", "texts"], "texts is a folder."),
        (["--benchmark", "photos", "--out", "photos/a.png"], "photos/a.png is a file."),
    ],
    ids=["reference", "benchmark"],
)
def test_scores_are_not_computed_for_a_place_that_cannot_hold_them(
    here: Path, command: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in _ends(capsys, "evaluate", *command, "--restorer", "identity")


def test_a_work_tree_inside_the_photos_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _ends(capsys, "demo", "--folder", "photos", "--workspace", "photos/tree")
    assert f"The work tree {here / 'photos/tree'} lies inside the folder" in said
    main_ends = _ends(capsys, "collect", "--folder", ".")
    assert "Run inside a work tree" in main_ends
    (here / "params.yaml").write_text((ROOT / "profiles/embedded.yaml").read_text())
    assert f"The work tree {here} lies inside the folder ." in _ends(
        capsys, "collect", "--folder", "."
    )
    assert sorted(path.name for path in here.iterdir()) == ["params.yaml", "photos", "texts"]
    assert [path.name for path in (here / "photos").iterdir()] == ["a.png"]


def test_evaluate_makes_no_registry_where_there_is_none(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    arguments = ["--reference", "photos", "--task", "blur", "--restorer", "models:/m/1"]
    said = _ends(capsys, "evaluate", *arguments, "--out", "scores.json")
    assert "There is no registry to find models:/m/1 in" in said
    assert not (here / "mlflow").exists()


def test_a_profile_is_told_by_a_whole_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["profile"])
    assert not ended.value.code
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["embedded", "one-gpu", "paper"]
    assert all(line.endswith(".") for line in lines)


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("collect", "allow_addresses", "localhost", "must be a list"),
        ("hash", "thumbnail_side", "many", "must be a whole number"),
        ("screen", "degraded_at_by", 3, "must have keys with values"),
        ("teach", "teachers", {"defalt": ["classical"]}, "teach.teachers: defalt is none of"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_explained_without_words_of_python(
    section: str, key: str, value: object, said: str
) -> None:
    content = yaml.safe_load((ROOT / "profiles/embedded.yaml").read_text())
    content[section][key] = value
    with pytest.raises(UserError) as told:
        parse_params(yaml.safe_dump(content), "params.yaml")
    assert f"{section}.{key}: " in told.value.what
    assert said in told.value.what
    assert not re.search("Input should|Value error|valid (list|tuple|dict)", told.value.what)
