"""How a stage ends."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.stage import Counts, alone, run_stage

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


def test_a_stage_runs_once_at_a_time_and_a_killed_one_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path)
    code = (
        "import sys, pathlib\nfrom catalog.layout import Layout\nfrom catalog.stage import alone\n"
        "with alone(Layout(pathlib.Path(sys.argv[1])), 'transfer'):\n"
        "    print('has it', flush=True)\n    sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    with other:
        assert other.stdout.readline() == b"has it\n"
        with pytest.raises(UserError, match="Another process runs the stage transfer"):
            alone(layout, "transfer").__enter__()
        with alone(layout, "finetune"):
            pass
        with monkeypatch.context() as patch:
            patch.setenv("RANK", "1")
            with alone(layout, "transfer"):
                pass
        other.kill()
    with alone(layout, "transfer"):
        pass
