"""What a person gives wrongly: a message that says what to do, and nothing half made."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

MENDLINE = Path(sys.executable).with_name("mendline")


def _demo(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_TRACK"))}
    return subprocess.run(
        [str(MENDLINE), "demo", "--workspace", str(folder / "tree"), *arguments],
        capture_output=True,
        text=True,
        env=kept | more,
        timeout=240,
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--urls", "none.txt"], "There is no file"),
        (["--folder", "none"], "There is no folder"),
        (["--folder", "here", "--urls", "list.txt"], "were both given"),
        (["--profile", "embeded"], "Did you mean embedded"),
    ],
)
def test_a_wrong_argument_ends_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "list.txt").write_text("")
    done = _demo(tmp_path, *arguments)
    assert done.returncode == 1
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "tree").exists()


def test_settings_with_a_wrong_key_are_refused_by_name(tmp_path: Path) -> None:
    from flows.workspace import create

    tree = create(tmp_path / "tree")
    content = yaml.safe_load(tree.layout.params.read_text())
    content["collect"]["user_agnt"] = content["collect"].pop("user_agent")
    tree.layout.params.write_text(yaml.safe_dump(content))
    (tmp_path / "photos").mkdir()
    done = _demo(tmp_path, "--folder", str(tmp_path / "photos"))
    assert done.returncode == 1
    assert "did you mean user_agent?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_does_not_answer_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/one.jpg").write_bytes(b"looked into later")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/api"
        done = _demo(tmp_path, "--folder", str(tmp_path / "photos"), PREFECT_API_URL=url)
    assert done.returncode == 1
    assert f"The Prefect server {url} does not answer" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("empty list", "no URLs"),
        ("dead list", "10.0.0.1 is not a public address."),
        ("folder", "no "),
    ],
)
def test_input_that_holds_nothing_says_what_to_do(tmp_path: Path, kind: str, expected: str) -> None:
    if kind == "folder":
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos/notes.txt").write_text("no photo")
        done = _demo(tmp_path, "--folder", str(tmp_path / "photos"))
    else:
        urls = "http://10.0.0.1/a.jpg\nhttp://192.168.0.1/b.jpg\n" if kind == "dead list" else ""
        (tmp_path / "list.txt").write_text(urls)
        done = _demo(tmp_path, "--urls", str(tmp_path / "list.txt"))
    assert done.returncode == 1, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "tree/data").glob("raw/*"))
    assert ("collect.allow_addresses" in done.stderr) == (kind == "dead list")
    # Only what the web answers is known no sooner.
    assert (tmp_path / "tree").exists() == (kind == "dead list")
