"""Several processes, micro-batches and recomputation change nothing but rounding."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.training import Stage
from tests.training.dataset import ROOT, TINY, make_dataset, train, write_params
from training.parallel import World, require_shareable

TRANSFER = {
    **TINY["transfer"],
    "batch": 18,
    "steps": 6,
    "ema": 0.9,
    "web_style": 0.0,
    "freeze": ["txt_in.*"],
}


def curve(layout: Layout) -> list[float]:
    rows = [json.loads(line) for line in (layout.transfer / "training.jsonl").open()]
    return [row["loss"] for row in rows]


def validations(layout: Layout) -> list[dict[str, float]]:
    return [json.loads(line) for line in (layout.transfer / "validation.jsonl").open()]


def alike(some: list[dict[str, float]], others: list[dict[str, float]], rel: float) -> bool:
    return len(some) == len(others) and all(
        one == pytest.approx(other, rel=rel, abs=rel)
        for one, other in zip(some, others, strict=True)
    )


def trained(root: Path, **changes: object) -> list[float]:
    layout = Layout(root)
    make_dataset(layout)
    train(layout, **{**TRANSFER, **changes})
    return curve(layout)


def torchrun(layout: Layout, processes: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            f"--nproc-per-node={processes}",
            "--standalone",
            "--local-addr=127.0.0.1",
            "-m",
            "training",
            "transfer",
        ],
        cwd=layout.root,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "GLOO_SOCKET_IFNAME": "lo",
        },
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    return trained(tmp_path_factory.mktemp("alone"))


@pytest.mark.parametrize("changes", [{"micro_batch": 5}, {"activation_checkpointing": "full"}])
def test_memory_savers_give_the_same_curve(
    alone: list[float], tmp_path: Path, changes: dict[str, object]
) -> None:
    assert trained(tmp_path, **changes) == pytest.approx(alone, rel=1e-4)


@pytest.mark.slow
def test_compiled_blocks_give_the_same_curve(alone: list[float], tmp_path: Path) -> None:
    assert trained(tmp_path, compile=True) == pytest.approx(alone, rel=1e-3)


def environments(processes: int) -> list[dict[str, str]]:
    """Of the processes of one run, as torchrun sets them."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    shared = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
    }
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]


def spawn(layout: Layout, processes: int) -> list[subprocess.Popen[str]]:
    """The processes of one run without torchrun, which would end the others of a dead one."""
    return [
        subprocess.Popen(
            [sys.executable, "-m", "training", "transfer"],
            cwd=layout.root,
            env=own,
            stderr=subprocess.PIPE,
            text=True,
        )
        for own in environments(processes)
    ]


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stderr is not None
    seen = []
    for text in process.stderr:
        seen.append(text)
        if line in text:
            return
    raise AssertionError(f"{line!r} never came:\n{''.join(seen)}")


LONGER = {
    "steps": 10,
    "checkpoint_every": 1,
    "keep_checkpoints": 2,
    "validate_every": 4,
    "micro_batch": 3,
}


def two_trees(folder: Path) -> tuple[Layout, Layout]:
    """One that was trained by one process, and one of the same data and settings."""
    trained(folder / "alone", **LONGER)
    several = Layout(folder / "several")
    make_dataset(several)
    write_params(several, **{**TINY, "transfer": {**TRANSFER, **LONGER}})
    return Layout(folder / "alone"), several


def require_same(alone: Layout, several: Layout) -> None:
    assert curve(several) == pytest.approx(curve(alone), rel=1e-3)
    # Each validation was shared by the processes there were: nine pairs in threes.
    assert alike(validations(several), validations(alone), rel=1e-2)


def test_two_processes_give_the_curve_of_one(tmp_path: Path) -> None:
    alone, several = two_trees(tmp_path)
    done = torchrun(several, 2)
    assert done.returncode == 0, done.stderr
    require_same(alone, several)
    assert {path.name for path in (several.scratch("transfer") / "samples").iterdir()} >= {
        f"{task}-0000010.png" for task in Degradation
    }
    counts = json.loads(several.metrics("transfer").read_text())
    assert counts["frozen_parameters"] > 0


@pytest.mark.slow
def test_two_processes_one_two_again_and_a_dead_one(tmp_path: Path) -> None:
    """A run goes on on another number of processes than it was on, and ends as one alone.

    A process that is killed ends the others with a message that says what to do.
    """
    alone, several = two_trees(tmp_path)
    first, second = spawn(several, 2)
    wait_for(first, "step=4")
    second.kill()
    _, said = first.communicate(timeout=240)
    second.communicate(timeout=240)
    assert first.returncode == 1, said
    assert "Process 0 of 2 lost another process of this run" in said
    assert "Start the same command again" in said
    assert not several.transfer.exists()

    third = spawn(several, 1)[0]
    wait_for(third, "resumed")
    third.send_signal(signal.SIGTERM)
    _, said = third.communicate(timeout=240)
    assert third.returncode == 128 + signal.SIGTERM, said
    kept = sorted(several.scratch("transfer").glob("*/step-*"))
    assert len(kept) == 2
    assert any(kept[-1].glob("*.safetensors"))

    done = torchrun(several, 2)
    assert done.returncode == 0, done.stderr
    assert "resumed" in done.stderr
    require_same(alone, several)


ONE_JUDGES = """
from pathlib import Path
from catalog.errors import UserError
from catalog.settings.training import Stage
from training.draws import Degradation, Pair
from training.parallel import world
from training.scoring import make_scorer

pairs = [Pair("p", "d", "c", Degradation.BLUR, "real")]

def away():
    raise UserError("The judge is away.", "Start it.")

with world() as group:
    scorer = make_scorer(Stage(score_images=1), pairs, None, Path(), group)
    print(type(scorer.judge).__name__, scorer.judge.identity.digest)
    assert group.first_only(lambda: group.rank) == 0
    try:
        group.first_only(away)
    except UserError as error:
        print(error)
"""


def test_one_process_loads_the_judge_and_all_hear_that_it_is_away() -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ONE_JUDGES], cwd=ROOT, env=own, stdout=subprocess.PIPE, text=True
        )
        for own in environments(2)
    ]
    first, second = (process.communicate(timeout=240)[0].splitlines() for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert first[0].split()[0] == "ProxyJudge"
    assert second[0].split()[0] != "ProxyJudge"
    assert first[0].split()[1] == second[0].split()[1], "the run has one key"
    assert first[1:] == second[1:] == ["The judge is away. Start it."]


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    make_dataset(layout, per_task=3)
    write_params(layout, **{**TINY, "transfer": {**TRANSFER, "batch": 9}})
    for process in spawn(layout, 2):
        _, said = process.communicate(timeout=240)
        assert process.returncode == 1
        assert "cannot be shared equally by 2 processes" in said


@pytest.mark.slow
def test_two_processes_train_adapters_on_bf16_weights(tmp_path: Path) -> None:
    """Frozen bf16 weights and fp32 adapters are shared alike; the first process saves adapters."""
    from safetensors.torch import load_file

    from tests.networks.editing import tiny

    tasks = (Degradation.BLUR, Degradation.HAZE)
    stage = {
        **TINY["transfer"],
        "steps": 2,
        "batch": 2,
        "crop": 32,
        "shapes": "square",
        "micro_batch": 1,
        "validate_every": 2,
        "validation_steps": 1,
        "score_images": 1,
        "lora_rank": 4,
        "lora_alpha": 4.0,
        "loss": "velocity",
        "timesteps": "uniform",
        "web_style": 0.0,
        "warmup": 1,
    }
    network = {"family": "step1x", "folder": str(tiny.bundle(tmp_path / "base")), "weights": "bf16"}
    curves, saved, scored = [], [], []
    for processes in (1, 2):
        layout = Layout(tmp_path / str(processes))
        make_dataset(layout, per_task=3, tasks=tasks, real=(), size=(40, 56))
        write_params(layout, network=network, transfer=stage)
        done = torchrun(layout, processes)
        assert done.returncode == 0, done.stderr
        curves.append(curve(layout))
        scored.append(validations(layout))
        saved.append(load_file(layout.transfer / "adapter_model.safetensors"))
    assert curves[1] == pytest.approx(curves[0], rel=2e-2)  # bf16 products
    assert "proxy_fs" in scored[0][0]
    assert alike(scored[1], scored[0], rel=5e-2)
    assert saved[0].keys() == saved[1].keys()
    for name, value in saved[0].items():
        assert value.shape == saved[1][name].shape
        assert value.dtype == saved[1][name].dtype == torch.float32


def test_training_is_compiled_after_a_validation_of_many_shapes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sampler, the validation's losses and training, each at the sizes of several buckets."""
    from dataclasses import replace

    import torch._dynamo
    from torch import nn

    from catalog.settings.training import Stage
    from networks.step1x.config import Step1XConfig
    from networks.step1x.model import Step1XTransformer
    from training.parallel import World, apply

    compiled = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda part: compiled(part, backend="eager"))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = Step1XTransformer(replace(Step1XConfig.debug(), double_blocks=1, single_blocks=1))
    apply(model, Stage(compile=True, activation_checkpointing="full"), World())

    def graphs(batch: int, learns: bool) -> int:
        for side in ((8, 8), (4, 12)):
            latents = torch.randn(batch, side[0] * side[1] // 4, 64)
            states, mask = torch.randn(batch, 24, 24), torch.ones(batch, 24, dtype=torch.bool)
            with torch.set_grad_enabled(learns):
                found = model(latents, latents, side, torch.rand(batch), states, mask)
            if learns:
                found.square().mean().backward()
        return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])

    model.eval()
    sampled, validated = graphs(2, False), graphs(1, False)
    model.train()
    assert graphs(1, True) > validated > sampled
    assert not any("limit" in reason for reason in torch._dynamo.utils.counters["unimplemented"])


def test_what_several_processes_cannot_share_is_refused() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    plain, alone, two = Stage(), World(), World(0, 2)
    require_shareable(model, plain, two)
    for change in ({"optimizer": "adamw-8bit"}, {"free_gradients": "lagged"}):
        stage = plain.model_copy(update=change)
        require_shareable(model, stage, alone)
        with pytest.raises(UserError, match="are for one process"):
            require_shareable(model, stage, two)
    model[1].to(torch.bfloat16)
    require_shareable(model, plain, alone)
    with pytest.raises(UserError, match=r"torch\.bfloat16 and torch\.float32"):
        require_shareable(model, plain, two)
    model[1].requires_grad_(False)  # frozen weights may be of any type
    require_shareable(model, plain, two)
