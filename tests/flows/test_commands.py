"""Commands of this room: profile, and a command line that starts without heavy imports."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from catalog.errors import UserError
from flows.cli import main
from flows.cli.profile import profile
from flows.cli.steps import Steps

ROOT = Path(__file__).parents[2]
EMBEDDED = (ROOT / "profiles/embedded.yaml").read_text()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_profile_becomes_params_yaml(here: Path) -> None:
    done = CliRunner().invoke(profile, ["embedded"], catch_exceptions=False)
    assert done.exit_code == 0
    assert (here / "params.yaml").read_text() == EMBEDDED
    assert CliRunner().invoke(profile, ["embedded"]).exit_code == 0
    assert "embedded" in CliRunner().invoke(profile, []).output
    assert CliRunner().invoke(profile, ["embedded", "--show"]).output == EMBEDDED


def test_settings_of_ones_own_are_not_overwritten(here: Path) -> None:
    mine = EMBEDDED + "# mine\n"
    (here / "params.yaml").write_text(mine)
    with pytest.raises(UserError, match="settings of your own"):
        CliRunner().invoke(profile, ["embedded"], catch_exceptions=False)
    assert (here / "params.yaml").read_text() == mine
    CliRunner().invoke(profile, ["embedded", "--force"], catch_exceptions=False)
    assert (here / "params.yaml").read_text() == EMBEDDED


def test_an_unknown_profile_names_the_nearest(here: Path) -> None:
    with pytest.raises(UserError, match="Did you mean embedded"):
        CliRunner().invoke(profile, ["imbedded"], catch_exceptions=False)
    assert not (here / "params.yaml").exists()


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom flows.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'prefect', 'mlflow', 'torch', 'pyarrow', 'numpy', 'rich', 'dvc'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "loaded: []" in done.stdout
    assert "takedown" in done.stdout


def test_steps_are_told_with_their_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    with Steps() as steps:
        steps.hear("collect", "")
        steps.hear("repro", "")
        for line in (
            "Stage 'hash' didn't change, skipping",
            "Running stage 'embed':",
            "> python -m curation.embed",
        ):
            steps.hear("repro", line)
        steps.hear("push", "")
    said = capsys.readouterr().err
    assert [line.split()[1] for line in said.splitlines()] == [
        "collecting",
        "hash",
        "embed",
        "storing",
    ]
    assert set(steps.seconds) == {"collecting", "embed", "storing the data (dvc push)"}


def test_a_failed_step_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError), Steps() as steps:
        steps.hear("push", "")
        raise UserError("The remote is down.", "Bring it back.")
    assert capsys.readouterr().err.lstrip().startswith("x storing")


@pytest.mark.parametrize(
    "command",
    [
        ["dedupe", "photos", "--out"],
        ["screen", "photos", "--out"],
        ["screen", "photos", "--sheet"],
        ["judge", "photos", "--out"],
        ["degrade", "photos", "-d", "blur", "--out"],
        ["restore", "photos", "-d", "blur", "--out"],
        ["evaluate", "--benchmark", "photos", "--restorer", "classical", "--out"],
        ["export", "--out"],
        ["leaderboard", "--out"],
    ],
    ids=lambda command: " ".join(command[:1] + command[-1:]),
)
def test_a_place_for_the_result_is_looked_at_before_the_work(
    here: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "file").write_text("kept")
    with pytest.raises(SystemExit) as ended:
        main([*command, str(here / "file/below/result")])
    assert ended.value.code == 1
    assert "file is a file.\nName another place." in capsys.readouterr().err


def test_what_the_system_refuses_is_said_without_a_traceback(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "params.yaml").mkdir()
    with pytest.raises(SystemExit) as ended:
        main(["profile", "embedded"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "params.yaml: Is a directory.\n"
        "Mend that, or name another place, and run the same command again.\n"
    )


@pytest.mark.parametrize(
    "command",
    [
        ["takedown", "https://example.org/a.jpg", "--reason", "asked"],
        ["trace", "0123456789"],
        ["review-pairs"],
        ["review-pairs", "--export"],
    ],
)
def test_outside_a_work_tree_nothing_is_written_and_nothing_is_claimed(
    here: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 1
    assert "Run inside a work tree" in capsys.readouterr().err
    assert not list(here.iterdir())


def test_a_registry_that_is_not_there_is_said_and_not_made(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (here / "photo.png").write_bytes(b"not looked at yet")
    with pytest.raises(SystemExit) as ended:
        main(["restore", "photo.png", "-d", "blur", "--restorer", "models:/m/1", "--out", "out"])
    assert ended.value.code == 1
    assert "There is no registry to find models:/m/1 in" in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["photo.png"]
