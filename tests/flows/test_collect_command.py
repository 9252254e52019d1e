"""What `mendline collect` says of failures, and what it advises."""

from pathlib import Path

import pytest

from flows.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, a work tree without any image."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "profiles/embedded.yaml").read_text())
    return tmp_path


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The status and all that is said, its lines joined."""
    with pytest.raises(SystemExit) as ended:
        main(["collect", *arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), " ".join((said.out + said.err).split())


def test_retrying_without_a_snapshot_does_not_speak_of_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "urls.txt").write_text("no address")
    status, said = _run(capsys, "--urls", "urls.txt")
    assert (status, "run the same command again" in said) == (1, True)
    status, said = _run(capsys, "--retry-failed")
    assert (status, "tried anew by its own command" in said) == (1, True)
    status, said = _run(capsys, "--urls", "urls.txt", "--retry-failed")
    assert (status, "Nothing to try again" in said) == (0, True)
    assert "earlier snapshot" not in said
