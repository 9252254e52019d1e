"""A whole stage in its own process: killed, stopped and resumed; its outputs and its errors."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import training.stage
from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.training import Network, Stage, Student
from networks.student import load_student
from tests.training.dataset import ROOT, TINY, make_dataset, train, write_params
from training.stage import Inputs, train_stage

TRANSFER = TINY["transfer"]
FINETUNE = {
    **TRANSFER,
    "steps": 6,
    "synthetic": 2,
    "real": 8,
    "schedule": "cosine",
    "weight_decay": 0.01,
    "freeze": ["single_blocks.0.*"],
}


def start(layout: Layout, stage: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "training", stage],
        cwd=layout.root,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    """Read the log until `line` is in it."""
    assert process.stderr is not None
    seen = []
    for text in process.stderr:
        seen.append(text)
        if line in text:
            return
    raise AssertionError(f"{line!r} never came:\n{''.join(seen)}")


def run(layout: Layout, stage: str) -> str:
    process = start(layout, stage)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return errors


def outputs(layout: Layout, stage: str) -> dict[str, bytes]:
    folder = getattr(layout, stage)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A work tree in which both stages ran without a break."""
    layout = Layout(tmp_path_factory.mktemp("whole"))
    make_dataset(layout)
    write_params(layout, **TINY, finetune=FINETUNE)
    run(layout, "transfer")
    run(layout, "finetune")
    return layout


def prepared(path: Path, **sections: dict[str, object]) -> Layout:
    layout = Layout(path)
    make_dataset(layout)
    write_params(layout, **{**TINY, "finetune": FINETUNE, **sections})
    return layout


def test_a_stage_without_the_one_before_it_names_it(tmp_path: Path) -> None:
    process = start(prepared(tmp_path), "finetune")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "models/transfer, the model to start from, is not there" in errors
    assert "dvc repro transfer" in errors and "Traceback" not in errors


def test_a_stage_leaves_a_model_its_curves_and_its_counts(whole: Layout) -> None:
    assert set(outputs(whole, "transfer")) == {
        "config.json",
        "model.safetensors",
        "training.jsonl",
        "validation.jsonl",
    }
    rows = [json.loads(line) for line in (whole.transfer / "training.jsonl").open()]
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert {f"loss_{task}" for task in Degradation} < set(rows[0])
    counts = json.loads(whole.metrics("transfer").read_text())
    assert counts["samples"]["blur"] == {"synthetic": 12, "real": 0}
    assert counts["best"]["step"] in (0, 4, 8, 12)
    image = np.full((50, 70, 3), 90, np.uint8)
    restored = load_student(whole.finetune).restore([image], Degradation.NOISE)[0]
    assert restored.shape == image.shape
    assert not whole.scratch("transfer").joinpath("step-0000012").exists()


def test_finetuning_starts_from_the_transferred_model_and_keeps_the_frozen_part(
    whole: Layout,
) -> None:
    from safetensors.numpy import load_file

    first = load_file(whole.transfer / "model.safetensors")
    second = load_file(whole.finetune / "model.safetensors")
    best = json.loads(whole.metrics("finetune").read_text())["best"]["step"]
    for name in first:
        if name.startswith("single_blocks.0."):
            assert np.array_equal(first[name], second[name]), name
    learned = [name for name in first if not np.array_equal(first[name], second[name])]
    assert bool(learned) == (best > 0)
    counts = json.loads(whole.metrics("finetune").read_text())
    assert counts["frozen_parameters"] > 0
    assert sum(counts["samples"]["blur"].values()) == 6
    assert counts["samples"]["blur"]["real"] in (4, 5)  # 8 of 10
    assert counts["samples"]["noise"] == {"synthetic": 6, "real": 0}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A work tree whose first stage was killed after step 8, with the checkpoint of step 6."""
    layout = prepared(tmp_path_factory.mktemp("killed"))
    process = start(layout, "transfer")
    wait_for(process, "step=8")
    process.kill()
    process.wait()
    assert not layout.transfer.exists()
    return layout


def test_a_killed_stage_goes_on_to_the_same_bytes(
    whole: Layout, killed: Layout, tmp_path: Path
) -> None:
    layout = Layout(shutil.copytree(killed.root, tmp_path / "tree"))
    assert "resumed" in run(layout, "transfer")
    assert outputs(layout, "transfer") == outputs(whole, "transfer")


def test_changed_settings_start_anew(
    killed: Layout, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for changes, resumed in (({"learning_rate": 5e-3}, False), ({}, True)):
        layout = Layout(shutil.copytree(killed.root, tmp_path / f"{resumed}"))
        train(layout, **changes)
        assert ("resumed" in capfd.readouterr().err) == resumed


UNFINISHED = "an unfinished run of other settings, data or code is kept"


def test_a_run_names_unfinished_ones_when_it_begins_and_removes_them_when_it_ends(
    killed: Layout, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each is the size of the model's states; one may go back to it until another ends."""
    layout = Layout(shutil.copytree(killed.root, tmp_path / "tree"))
    scratch = layout.scratch("transfer")
    (old,) = scratch.glob("*/step-*")
    # Neither is a run of this stage: what a cache holds, and a run of the other stage.
    cached, elsewhere = (
        scratch / "encoded/0123456789abcdef/a",
        layout.scratch("finetune") / old.parent.name / "f",
    )
    for path in (cached, elsewhere):
        path.parent.mkdir(parents=True)
        path.touch()
    with pytest.raises(UserError, match="the checkpoint of step 1 is kept"):
        train(layout, checkpoint_every=1, learning_rate=1e38)
    said = capfd.readouterr().err
    assert said.count(UNFINISHED) == 1
    size = sum(path.stat().st_size for path in old.parent.rglob("*") if path.is_file()) / 2**20
    line = next(line for line in said.splitlines() if UNFINISHED in line)
    assert f"folder={old.parent} " in line
    assert "step=6" in line and f"size='{size:.1f} MiB'" in line
    assert old.is_dir(), "nothing is removed before a run ends"

    train(layout)
    said = capfd.readouterr().err
    assert "resumed" in said
    assert UNFINISHED not in said, "named where one begins, not at every start"
    (left,) = scratch.glob("*/best-*")
    assert left.parent == old.parent
    assert not list(scratch.glob("*/step-*"))
    assert "removed an unfinished run" in said
    assert cached.exists() and elsewhere.exists()


@pytest.mark.slow
def test_killed_again_and_again_with_averages_and_threads_it_ends_the_same(tmp_path: Path) -> None:
    changed = {
        **TRANSFER,
        "ema": 0.9,
        "workers": 2,
        "checkpoint_every": 1,
        "validate_every": 1,
        "steps": 4,
    }
    one, two = (prepared(tmp_path / name, transfer=changed) for name in ("one", "two"))
    run(one, "transfer")
    for _ in range(2):
        process = start(two, "transfer")
        wait_for(process, "validated")
        process.send_signal(signal.SIGKILL)
        process.wait()
    run(two, "transfer")
    assert outputs(one, "transfer") == outputs(two, "transfer")


def test_a_signal_saves_the_step_and_ends_by_convention(whole: Layout, tmp_path: Path) -> None:
    layout = prepared(tmp_path)
    for number, line in ((signal.SIGTERM, "validated"), (signal.SIGINT, "resumed")):
        process = start(layout, "transfer")
        wait_for(process, line)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 128 + number
        assert "the same command continues" in errors
        assert not layout.transfer.exists()
    assert "resumed" in run(layout, "transfer")
    assert outputs(layout, "transfer") == outputs(whole, "transfer")


def test_a_run_is_kept_under_all_that_its_result_hangs_on(
    whole: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is found there is believed, so a changed degrader must lead elsewhere."""
    for room in ("training", "networks"):
        source = ROOT / room
        shutil.copytree(
            source,
            tmp_path / room,
            ignore=lambda place, names: [
                name for name in names if "." in name and not name.endswith(".py")
            ],
        )
    monkeypatch.setattr(training.stage, "_ROOMS", tmp_path)
    inputs = Inputs.of(whole, "transfer")
    plain = Stage.model_validate(TRANSFER)

    def key(stage: Stage = plain) -> str:
        student = Student.model_validate(TINY["student"])
        return training.stage.start(inputs, student, stage, Network(), tmp_path / "s").key

    styled = plain.model_copy(update={"web_style": 0.5})
    before = key(), key(styled)
    assert key(plain.model_copy(update={"workers": 0, "keep_checkpoints": 3})) == before[0]
    for name, counts in (
        ("networks/degraders/web_style.py", (False, True)),
        ("networks/tiling.py", (True, True)),
        ("networks/student/rope.py", (True, True)),
        ("networks/judges/answers.py", (False, False)),
    ):
        path = tmp_path / name
        content = path.read_text()
        path.write_text(content + "\n")
        assert (key() != before[0], key(styled) != before[1]) == counts, name
        path.write_text(content)


def test_who_is_killed_after_the_end_does_not_train_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """DVC notes an output after the stage has ended; killed before, it removes it and asks anew."""
    layout = Layout(tmp_path)
    make_dataset(layout, per_task=3)
    few = {"steps": 2, "validate_every": 2}
    counts = train(layout, **few)
    wanted = outputs(layout, "transfer")
    shutil.rmtree(layout.transfer)
    capfd.readouterr()
    assert train(layout, **few) == counts
    assert outputs(layout, "transfer") == wanted
    said = capfd.readouterr().err
    assert "was finished" in said and "validated" not in said
    assert not list(layout.scratch("transfer").glob("*/step-*"))
    (old,) = layout.scratch("transfer").glob("*/done.json")
    train(layout, **few, seed=1)
    assert not old.parent.exists()
    assert outputs(layout, "transfer") != wanted


def test_another_architecture_than_the_first_weights_is_refused(
    whole: Layout, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="width 32 instead of 64"):
        train_stage(
            "finetune",
            Inputs.of(whole, "finetune"),
            tmp_path / "out",
            tmp_path / "scratch",
            Student.model_validate({**TINY["student"], "width": 64}),
            Stage.model_validate(FINETUNE),
        )
