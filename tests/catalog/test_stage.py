"""How a stage ends."""

import errno
from pathlib import Path

import pytest

from catalog.errors import UserError
from catalog.stage import Counts, run_stage

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UserError("It is so.", "Do that."), 1, "hash: It is so.\nDo that.\n"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/p"),
            1,
            "hash: /p: Permission denied",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "/p"), 1, "hash: /p: No space left"),
        (KeyboardInterrupt(), 130, "hash: Interrupted. Run it again"),
    ],
    ids=["user", "permission", "space", "interrupt"],
)
def test_what_a_person_can_mend_ends_a_stage_in_words(
    error: BaseException,
    status: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "profiles/embedded.yaml").read_text())

    def run(*_: object) -> Counts:
        raise error

    with pytest.raises(SystemExit) as ended:
        run_stage("hash", run)
    assert ended.value.code == status
    assert capsys.readouterr().err.startswith(said)
    assert not (tmp_path / "results").exists()


def test_a_fault_of_ours_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "profiles/embedded.yaml").read_text())

    def run(*_: object) -> Counts:
        raise FileNotFoundError(errno.ENOENT, "No such file", "/gone")

    with pytest.raises(FileNotFoundError):
        run_stage("hash", run)
