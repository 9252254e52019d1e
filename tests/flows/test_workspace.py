"""A work tree of its own: complete, idempotent, and careful with what a person put there."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from structlog.testing import capture_logs

from catalog.errors import UserError
from flows import template, workspace
from flows.cli.registry import reject
from flows.workspace import create, open_workspace

ROOT = Path(__file__).parents[2]


def _log(root: Path) -> list[str]:
    return subprocess.run(
        ["git", "log", "--format=%s"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_a_work_tree_is_made_once_and_then_left_alone(tmp_path: Path) -> None:
    first = create(tmp_path / "tree")
    head = first.head()
    graph = first.root / "dvc.yaml"
    before = graph.stat().st_mtime_ns
    assert create(tmp_path / "tree").head() == head
    assert graph.stat().st_mtime_ns == before
    assert not first.git("status", "--porcelain")
    for room in template.ROOMS:
        assert (first.root / room / "__init__.py").is_file()
    assert open_workspace(first.root).head() == head


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose Git knows no name."""
    for place in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(place, os.devnull)


@pytest.mark.usefixtures("nameless")
def test_the_pipelines_name_is_nobodys_who_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = create(tmp_path / "tree")
    assert tree.git("log", "--format=%an <%ae>").split("\n")[0] == "Mendline <mendline@localhost>"
    monkeypatch.chdir(tree.root)
    monkeypatch.setenv("LOGNAME", "ada")
    assert _who_decides() == "ada"
    tree.git("config", "user.name", "Mendline")  # as trees of before have it
    assert _who_decides() == "ada"
    tree.git("config", "user.name", "Ada Lovelace")
    assert _who_decides() == "Ada Lovelace"
    (tree.root / "dvc.yaml").write_text("stages: {}")
    tree.commit("By her")
    assert tree.git("log", "-1", "--format=%an") == "Ada Lovelace\n"


def _who_decides() -> str:
    """What `mendline reject` would record as `by`."""
    return str(reject.make_context("reject", ["1", "--reason", "dull"]).params["by"])


def test_a_git_command_that_does_not_end_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = create(tmp_path / "tree")
    tree.git("config", "alias.wait", "!exec sleep 30")
    monkeypatch.setattr(workspace, "_SECONDS", 0.2)
    with pytest.raises(UserError, match=r"git wait has not ended in 0\.2 s"):
        tree.git("wait")


def test_a_downloaded_model_and_a_commit_of_all_do_not_meet(tmp_path: Path) -> None:
    """The profiles name models below models/base; a flow commits all that is not ignored."""
    tree = create(tmp_path / "tree")
    weights = tree.root / "models/base/step1x-edit-v1p1/step1x-edit-v1p1-official.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"41 GB")
    assert tree.commit("Refresh") is None
    assert not tree.git("status", "--porcelain")


def test_a_commit_takes_what_the_pipeline_makes_and_leaves_what_a_person_laid_there(
    tmp_path: Path,
) -> None:
    tree = create(tmp_path / "tree")
    (tree.root / ".env").write_text("HF_TOKEN=hf_never-in-a-commit")
    (tree.root / "notes").mkdir()
    (tree.root / "notes/to do.txt").write_text("mine")
    (tree.root / os.fsdecode(b"caf\xe9.txt")).write_text("not UTF-8")
    with capture_logs() as logs:
        assert tree.commit("Refresh") is None
    assert ".env" in logs[0]["files"]
    made = ["data/raw.dvc", "results/metrics/a [b].json", "dvc.lock", "curation/new.py"]
    for name in made:
        (tree.root / name).parent.mkdir(parents=True, exist_ok=True)
        (tree.root / name).write_text("x")
    (tree.root / "prefect.yaml").unlink()
    assert tree.commit("Refresh") == tree.head()
    found = tree.git("show", "--name-status", "--format=", "HEAD").splitlines()
    assert sorted(found) == sorted(["D\tprefect.yaml", *(f"A\t{name}" for name in made)])
    assert "hf_never-in-a-commit" not in tree.git("log", "-p", "--all")


def test_the_page_of_dvc_plots_is_no_part_of_a_commit(tmp_path: Path) -> None:
    tree = create(tmp_path / "tree")
    (tree.root / "dvc_plots").mkdir()
    (tree.root / "dvc_plots/index.html").write_text("what `dvc plots show` leaves")
    assert tree.commit("Refresh") is None


def test_what_dvc_keeps_is_never_gits(tmp_path: Path) -> None:
    """DVC takes its own lines out of .gitignore when a later stage of the same run fails."""
    tree = create(tmp_path / "tree")
    graph = yaml.safe_load((tree.root / "dvc.yaml").read_text())["stages"]
    made = [path for stage in graph.values() for path in stage["outs"]]
    assert "models/finetune" in made
    assert tree.git("check-ignore", "--no-index", *made).split() == made


def test_changed_code_and_settings_are_brought_up_to_date_and_committed(tmp_path: Path) -> None:
    tree = create(tmp_path / "tree")
    (tree.root / "catalog/errors.py").write_text("broken")
    (tree.root / "curation/left_over.py").write_text("gone from the source")
    text = tree.layout.params.read_text() + "# new\n"
    create(tree.root, params=text)
    assert (tree.root / "catalog/errors.py").read_text() != "broken"
    assert not (tree.root / "curation/left_over.py").exists()
    assert tree.layout.params.read_text() == text
    assert _log(tree.root)[0] == "Code and settings brought up to date"


@pytest.mark.parametrize("name", ["params.yaml", "prefect.yaml", ".dvc/config", "dvc.yaml"])
def test_settings_that_a_person_edited_are_kept(tmp_path: Path, name: str) -> None:
    tree = create(tmp_path / "tree")
    edited = (tree.root / name).read_text() + "# mine\n"
    (tree.root / name).write_text(edited)
    with capture_logs() as logs:
        create(tree.root)
        create(tree.root)
    assert (tree.root / name).read_text() == edited
    assert not logs, "nothing new was kept from it"


def test_of_edited_settings_a_new_version_is_told_of_once(tmp_path: Path) -> None:
    tree = create(tmp_path / "tree")
    text = tree.layout.params.read_text()
    tree.layout.params.write_text(text + "# mine\n")
    told = []
    for _ in range(2):
        with capture_logs() as logs:
            create(tree.root, params=text + "# new\n")
        told += [entry["files"] for entry in logs]
    assert told == [["params.yaml"]]
    assert tree.layout.params.read_text() == text + "# mine\n"
    tree.layout.params.unlink()
    create(tree.root, params=text + "# new\n")
    assert tree.layout.params.read_text() == text + "# new\n"
    create(tree.root, params=text + "# newer\n")
    assert tree.layout.params.read_text() == text + "# newer\n", "it is nobody's own any more"


def test_code_that_a_person_changed_is_in_the_history(tmp_path: Path) -> None:
    tree = create(tmp_path / "tree")
    place = tree.root / "networks/restorers/__init__.py"
    theirs = place.read_text() + "# mine\n"
    place.write_text(theirs)
    create(tree.root)
    assert place.read_text() != theirs
    assert tree.git("show", "HEAD~1:networks/restorers/__init__.py") == theirs


def test_a_folder_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_text("x")
    with pytest.raises(UserError, match="not empty"):
        create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
    with pytest.raises(UserError, match="is a file"):
        create(tmp_path / "holiday.jpg")


def test_a_creation_that_was_killed_is_taken_up_again(tmp_path: Path) -> None:
    tree = create(tmp_path / "tree")
    shutil.rmtree(tree.root / ".git")
    shutil.rmtree(tree.root / "training")
    again = create(tree.root)
    assert again.head()
    assert (tree.root / "training/__init__.py").exists()


def test_settings_with_a_wrong_key_and_unknown_profiles_say_what_to_do(tmp_path: Path) -> None:
    text = (ROOT / "profiles/embedded.yaml").read_text().replace("synthesize:", "synthesise:")
    with pytest.raises(UserError, match="did you mean synthesize"):
        create(tmp_path / "tree", params=text)
    with pytest.raises(UserError, match="Did you mean embedded"):
        create(tmp_path / "tree", profile="embeded")
    with pytest.raises(UserError, match=r"no dvc\.yaml"):
        open_workspace(tmp_path)


def test_a_user_without_a_git_identity_can_make_a_work_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    tree = create(tmp_path / "tree")
    assert "Mendline" in tree.git("log", "-1", "--format=%an")


@pytest.mark.slow
def test_a_wheel_holds_all_that_a_work_tree_needs(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in listed:
        if (ROOT / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, clone / name)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), "."],
        cwd=clone,
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    script = (
        "import sys, pathlib; from flows.workspace import create; "
        "import flows; assert flows.__file__.startswith(sys.argv[1]), flows.__file__; "
        "print(create(pathlib.Path(sys.argv[2])).head())"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(site), str(tmp_path / "tree")],
        cwd=site,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(site)},
        check=True,
    )
    assert (tmp_path / "tree/dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
