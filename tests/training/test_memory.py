"""Where weights are, and what is measured, before the first step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import TensorWeakRef

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.training import Stage, Student
from networks.step1x.config import Step1XConfig
from networks.step1x.model import Step1XTransformer
from tests.training.dataset import TINY, make_dataset
from training.batches import BatchMaker
from training.draws import Draws
from training.images import PairImages
from training.loop import Trainer
from training.parallel import blocks_of
from training.recompute import Recompute, fit_memory
from training.stage import ShardStore, build_model, read_pairs
from training.trainable import StudentTrainable
from training.validation import Validator

STUDENT = Student.model_validate(TINY["student"])
STAGE = Stage(steps=2, batch=2, crop=32, precision="fp32")


def trainer(root: Path, kind: type[StudentTrainable] = StudentTrainable, **changes: Any) -> Trainer:
    layout = Layout(root)
    make_dataset(layout, per_task=3)
    stage = STAGE.model_copy(update=changes)
    pairs = read_pairs(layout.dataset)
    images = PairImages(ShardStore(layout.raw, layout.synthetic), 2**20)
    return Trainer(
        kind(build_model(STUDENT, stage, None)),
        BatchMaker(Draws(pairs["train"], 1, 0, 0), images, stage),
        Validator(pairs["validation"], images, stage),
        stage,
        root / "scratch",
        root / "scratch/throughput.jsonl",
    )


def card(context: pytest.MonkeyPatch, peak: Callable[[], float], room: float) -> None:
    """A GPU that answers `peak` and of which `room` may be used."""
    context.setattr(torch.cuda, "is_available", lambda: True)
    context.setattr(torch.cuda, "empty_cache", lambda: None)
    context.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    context.setattr(torch.cuda, "max_memory_allocated", peak)
    context.setattr(torch.cuda, "mem_get_info", lambda: (0, room / 0.92))


@pytest.mark.parametrize("shared", [0.0, 12.0])
def test_a_block_of_each_kind_is_measured_and_the_choice_is_tried(
    monkeypatch: pytest.MonkeyPatch, shared: float
) -> None:
    """The connector's blocks come first and take little; `shared` is what no block alone shows."""
    model = Step1XTransformer(Step1XConfig.debug())
    for blocks, index in blocks_of(model):
        blocks[index] = Recompute(blocks[index])
    own = [module for module in model.modules() if isinstance(module, Recompute)]

    worst, compiled = 0.0, set()

    def step() -> None:
        nonlocal worst
        off = tuple(block.kind.__name__ for block in own if not block.enabled)
        costs = {"RefinerBlock": 1, "FluxTransformerBlock": 30, "FluxSingleTransformerBlock": 20}
        used = 100 + sum(costs[name] for name in off) + (shared if len(off) > 1 else 0)
        if used > 190:
            raise torch.OutOfMemoryError
        worst = max(worst, used if off in compiled else used + 60)
        compiled.add(off)

    def reset() -> None:
        nonlocal worst
        worst = 0.0

    card(monkeypatch, lambda: worst, 182)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    spared = fit_memory(model, step)
    assert [block.enabled for block in own] == [False] * spared + [True] * (len(own) - spared)
    # Two of 1 and two of 30 fit, and one of 20 unless 12 are taken that no block alone showed.
    assert spared == (3 if shared else 5)


@pytest.mark.parametrize("freed", ["no", "lagged", "exact"])
def test_measuring_the_memory_changes_no_weight_and_no_norm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, freed: str
) -> None:
    """On a card with room for 3 of 5 blocks; the optimizer's states are part of the measured.

    The card is one that `card` makes up. The network is on the CPU where there is a real one too,
    since two trainers agree to the bit there.
    """
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    own = trainer(tmp_path, free_gradients=freed, activation_checkpointing="auto")
    blocks = [module for module in own.model.modules() if isinstance(module, Recompute)]
    before = {name: value.clone() for name, value in own.model.state_dict().items()}
    states = []

    def peak() -> int:
        parameter = next(iter(own.model.parameters()))
        states.append("exp_avg" in own._states(parameter))
        return 40 + 10 * sum(not block.enabled for block in blocks)

    with monkeypatch.context() as context:
        card(context, peak, 72)
        own._fit_memory(own.maker.micro_batches(0))
    assert [block.enabled for block in blocks] == [False] * 3 + [True] * (len(blocks) - 3)
    assert all(states)
    assert all(torch.equal(value, before[name]) for name, value in own.model.state_dict().items())
    assert all(parameter.grad is None for parameter in own.model.parameters())
    # The first norm is that of a trainer that measured nothing.
    batch = own.maker.micro_batches(0)
    again = trainer(tmp_path / "again", free_gradients=freed, activation_checkpointing="auto")
    assert own._step(0, batch) == again._step(0, batch)


def test_a_validation_that_does_not_fit_says_what_to_change(tmp_path: Path) -> None:
    class Large(StudentTrainable):
        def restore(self, batch: Any, steps: int) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(UserError, match="for a validation") as caught:
        trainer(tmp_path, Large).run()
    assert "micro_batch to 1 (now 2)" in caught.value.remedy


def test_no_cast_copy_of_a_recomputed_blocks_weights_is_kept(tmp_path: Path) -> None:
    """Of 12 billion fp32 weights they would take 25 GB of every process."""
    own = trainer(tmp_path, precision="bf16", activation_checkpointing="full")
    weights = {
        value.data_ptr()
        for module in own.model.modules()
        if isinstance(module, Recompute)
        for value in module.parameters()
        if value.dim() == 2
    }
    copies = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            out = func(*args, **(kwargs or {}))
            if func is torch.ops.aten._to_copy.default and args[0].data_ptr() in weights:
                copies.append(TensorWeakRef(out))
            return out

    batch = own.maker.batch(0).to(own.precision.device)
    with Watch(), own.precision.autocast():
        found = own.trainable.losses(batch, "velocity")
        assert len(copies) >= len(weights)
        assert not any(copy() is not None for copy in copies)
    assert found.requires_grad


def test_a_network_is_shared_out_before_it_goes_to_the_device(tmp_path: Path) -> None:
    """12 billion fp32 weights and their encoder do not fit one card of 80 GB whole."""

    class Watched(StudentTrainable):
        def to(self, device: torch.device) -> None:
            assert any(isinstance(module, Recompute) for module in self.module.modules())
            super().to(device)

    trainer(tmp_path, Watched, activation_checkpointing="full")
