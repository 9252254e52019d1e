"""The dry run: samples as they will be drawn, memory and work worked out independently."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from catalog.degradations import Degradation
from catalog.layout import Layout
from catalog.settings.training import Stage, Student
from flows.cli import main
from networks.step1x.config import Step1XConfig
from networks.step1x.model import Step1XTransformer
from tests.training.dataset import ROOT, TINY, make_dataset, write_params
from training.plan import describe, duration, make_plan, saved_mib
from training.stage import Inputs

STUDENT = Student.model_validate(TINY["student"])
STAGE = Stage.model_validate(
    {**TINY["transfer"], "synthetic": 2, "real": 8, "freeze": ["single_blocks.0.*"]}
)


def test_a_plan_counts_samples_parameters_and_memory(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    make_dataset(layout, tasks=tuple(task for task in Degradation if task != "rain"))
    plan = make_plan(Inputs.of(layout, "transfer"), STUDENT, STAGE)
    assert plan.missing == ["rain"]
    assert sum(sum(counts.values()) for counts in plan.samples.values()) == 12 * 9
    assert plan.samples["noise"]["real"] == 0
    assert plan.samples["haze"]["real"] > plan.samples["haze"]["synthetic"]
    learning = plan.parameters - plan.frozen
    assert plan.memory["optimizer"] == pytest.approx(8 * learning / 2**20)
    twice = make_plan(
        Inputs.of(layout, "transfer"), STUDENT, STAGE.model_copy(update={"batch": 18})
    )
    assert twice.memory["activations"] == pytest.approx(2 * plan.memory["activations"])
    shared = make_plan(Inputs.of(layout, "transfer"), STUDENT, STAGE, processes=3)
    assert shared.memory["weights"] == pytest.approx(plan.memory["weights"] / 3)
    assert shared.memory["activations"] == pytest.approx(plan.memory["activations"] / 3)
    # At least the tokens that enter each of five blocks, in float32: 16 + 4 tokens of 32.
    assert plan.memory["activations"] > 9 * 5 * 20 * 32 * 4 / 2**20
    text = describe("transfer", plan)
    assert "no training pairs for: rain" in text
    assert "12 steps, 108 samples" in text


def test_activations_are_what_a_run_with_fused_attention_keeps() -> None:
    """Shapes alone against a real forward pass; the plain formula would keep ten times as much."""
    config = replace(Step1XConfig.debug(), single_blocks=2)

    def loss(model: nn.Module, device: str) -> Tensor:
        latents = torch.zeros(1, 1024, 64, device=device)
        states = torch.zeros(1, 64, 24, device=device)
        mask = torch.ones(1, 64, dtype=torch.bool, device=device)
        t = torch.ones(1, device=device)
        return model(latents, latents, (64, 64), t, states, mask).square().mean()

    with torch.device("meta"):
        sketch = Step1XTransformer(config)
    estimate = saved_mib(sketch, STAGE, lambda: loss(sketch, "meta"))
    real = Step1XTransformer(config)
    weights = {parameter.untyped_storage().data_ptr() for parameter in real.parameters()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no place comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss(real, "cpu")
    held = sum(kept[place].untyped_storage().nbytes() for place in kept.keys() - weights)
    assert estimate == pytest.approx(held / 2**20, rel=0.05)


def test_validations_are_part_of_the_time(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    make_dataset(layout, per_task=3)
    stage = STAGE.model_copy(
        update={"steps": 10, "validate_every": 4, "score_images": 1, "validation_steps": 3}
    )
    # At steps 0, 4, 8, 10: nine pairs restored in 3 steps and each loss, nine images in 3 steps.
    for timesteps, losses in (("uniform", 3), ("one", 1)):
        own = stage.model_copy(update={"timesteps": timesteps})
        plan = make_plan(Inputs.of(layout, "transfer"), STUDENT, own)
        forward = plan.seconds / (10 * stage.batch * 3)
        assert plan.validation_seconds == pytest.approx(4 * 9 * (3 + losses + 3) * forward)
        assert "for validations" in describe("transfer", plan)


def test_durations_in_words() -> None:
    assert duration(61) == "61 s"
    assert duration(600) == "10 min"
    assert duration(86400) == "24.0 h"


def test_the_command_shows_and_runs_a_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout(tmp_path / "tree")
    make_dataset(layout, per_task=3)
    write_params(layout, **{**TINY, "transfer": {**TINY["transfer"], "steps": 2}})

    def mendline(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        return int(ended.value.code or 0)

    monkeypatch.chdir(layout.root)
    assert mendline("train", "transfer", "--dry-run") == 0
    assert "2 steps, 18 samples" in capsys.readouterr().out
    assert not layout.transfer.exists()
    ran = subprocess.run(
        [sys.executable, "-c", "from flows.cli import main; main()", "train", "transfer"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert "The best model is that of step" in ran.stdout
    assert (layout.transfer / "model.safetensors").exists()
    assert layout.metrics("transfer").exists()
    assert mendline("train", "finetune", "--dry-run") == 0
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert mendline("train", "transfer") == 1
    assert "mendline profile embedded" in capsys.readouterr().err
