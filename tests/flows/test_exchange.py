"""What two machines' work trees give each other, by a real Git remote and a real DVC remote."""

import re
import subprocess
from pathlib import Path

import pytest

from catalog.errors import UserError
from flows import dvc
from flows.exchange import agree, follow, publish
from flows.guard import limit_name
from flows.train import check_deployment
from flows.workspace import Workspace, create, open_workspace

GRAPH = """\
vars: [{place: /dev/null}]
stages:
  raw:
    cmd: tr a-z A-Z < in.txt > big.txt
    deps: [in.txt, only-here]
    outs: [big.txt]
  assemble:
    cmd: wc -c < big.txt > length.txt
    deps: [big.txt]
    outs: [length.txt]
  transfer:
    cmd: cat length.txt length.txt > first.txt
    deps: [length.txt]
    outs: [first.txt]
  finetune:
    cmd: echo {} > counts.json && cat first.txt > ${place} && cat length.txt first.txt > model.txt
    deps: [length.txt, first.txt]
    outs: [model.txt]
    metrics: [counts.json: {cache: false}]
"""


@pytest.fixture
def here(tmp_path: Path) -> Workspace:
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "origin.git")], check=True)
    tree = create(tmp_path / "here")
    (tree.root / "dvc.yaml").write_text(GRAPH)
    (tree.root / "in.txt").write_text("hello")
    with (tree.root / ".gitignore").open("a") as ignored:
        ignored.write("/big.txt\n/length.txt\n/first.txt\n/model.txt\n")
    # An input that Git does not carry, as the teachers of a registry.
    (tree.root / ".git/info/exclude").write_text("only-here\n")
    (tree.root / "only-here").write_text("")
    tree.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    _share(tree, tmp_path / "store")
    tree.commit("A small graph")
    publish(tree)
    return tree


@pytest.fixture
def there(here: Workspace, tmp_path: Path) -> Workspace:
    here.git("clone", "--quiet", "--branch", "main", str(tmp_path / "origin.git"), "../there")
    _share(Workspace(tmp_path / "there"), tmp_path / "store")
    return open_workspace(tmp_path / "there")


def _share(tree: Workspace, store: Path) -> None:
    (tree.root / ".dvc/config.local").write_text(f"['remote \"local\"']\n    url = {store}\n")


def test_one_tree_goes_on_where_the_other_was_with_no_more_data_than_it_needs(
    here: Workspace, there: Workspace
) -> None:
    assert dvc.repro(here.root, ["assemble"]).ran == ["raw", "assemble"]
    dvc.push(here.root)
    here.commit("Data")
    asked = publish(here)

    assert follow(there, asked) == asked
    stages = ["transfer", "finetune"]
    assert dvc.inputs(there.root, stages) == ["length.txt"]
    dvc.pull(there.root, ["length.txt"])
    assert dvc.repro(there.root, stages, alone=True).ran == stages
    assert not (there.root / "big.txt").exists(), "no stage that ran there reads it"
    dvc.push(there.root)
    there.commit("Trained")
    made = publish(there)

    assert follow(here, asked) == made
    dvc.pull(here.root, stages)
    assert (here.root / "model.txt").read_text() == (there.root / "model.txt").read_text()
    # A second time there is nothing to do.
    assert dvc.repro(there.root, stages, alone=True).ran == []
    assert dvc.repro(here.root).ran == []
    for tree in (here, there):
        assert not tree.git("status", "--porcelain")


def test_what_stands_in_the_way_is_said_and_nothing_is_lost(
    here: Workspace, there: Workspace
) -> None:
    with pytest.raises(UserError, match=r"0123456789ab is not on main of origin"):
        follow(there, "0123456789abcdef")
    (there.root / "in.txt").write_text("by hand")
    there.commit("By hand")
    (here.root / "in.txt").write_text("another")
    here.commit("Meanwhile")
    publish(here)
    with pytest.raises(UserError, match="cannot go on to main of origin") as caught:
        follow(there)
    assert str(there.root) in caught.value.what
    with pytest.raises(UserError, match="git push failed") as caught:
        publish(there)
    assert "git pull --rebase" in caught.value.remedy
    assert (there.root / "in.txt").read_text() == "by hand"
    there.git("remote", "remove", "origin")
    with pytest.raises(UserError, match="no Git remote origin"):
        publish(there)


@pytest.mark.slow
def test_a_training_that_met_a_full_disk_does_not_stand_in_the_way_of_new_data(
    here: Workspace, there: Workspace
) -> None:
    def ask(text: str, place: str) -> str:
        (here.root / "in.txt").write_text(text)
        graph = here.root / "dvc.yaml"
        graph.write_text(re.sub("place: [a-z/]+", f"place: {place}", graph.read_text()))
        dvc.repro(here.root, ["assemble"])
        dvc.push(here.root)
        here.commit(text)
        return publish(here)

    stages = ["transfer", "finetune"]
    follow(there, ask("hello", "/dev/full"))  # the kernel answers with ENOSPC
    dvc.pull(there.root, ["length.txt"])
    with pytest.raises(UserError, match="No space left on device"):
        dvc.repro(there.root, stages, alone=True)
    assert {line.split()[1] for line in there.git("status", "--porcelain").splitlines()} == {
        "dvc.lock",
        "counts.json",
    }
    # New data of the same length, so that what was done is still asked for.
    asked = ask("world", "/dev/null")
    assert follow(there, asked) == asked
    dvc.pull(there.root, ["length.txt"])
    assert dvc.repro(there.root, stages, alone=True).ran == ["finetune"]
    there.commit("Trained")
    assert publish(there) == follow(here, asked)
    assert there.git("ls-files", "first.txt", "model.txt", "counts.json").split() == ["counts.json"]
    # What a person changed is never set back.
    (there.root / "in.txt").write_text("by hand")
    ask("third", "/dev/null")
    with pytest.raises(UserError, match="cannot go on"):
        follow(there)
    assert (there.root / "in.txt").read_text() == "by hand"


def test_what_was_given_back_to_a_killed_run_is_taken_over(
    here: Workspace, there: Workspace
) -> None:
    (there.root / "in.txt").write_text("trained")
    there.commit("Trained")
    made = publish(there)
    assert agree(here) == made  # the run that waited for it was killed
    (here.root / "in.txt").write_text("new data")
    mine = here.commit("New data")
    assert agree(here) == mine
    assert follow(there, mine) == mine
    here.git("checkout", "--quiet", "-b", "of-its-own")
    assert agree(here) == mine  # a branch that origin has not yet


def test_trees_have_limits_of_their_own_wherever_they_lie(
    here: Workspace, there: Workspace, tmp_path: Path
) -> None:
    name = limit_name(here)
    assert limit_name(there) != name
    assert limit_name(open_workspace(here.root)) == name
    # Another machine's tree at the same path.
    here.root.rename(tmp_path / "elsewhere")
    there.root.rename(here.root)
    assert limit_name(here) != name


def test_training_is_not_sent_without_a_server(
    here: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(UserError, match="no Prefect server is named"):
        check_deployment("train/gpu")
