"""Schedule, frozen parameters, times, losses and the moving average."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from catalog.errors import UserError
from catalog.settings.training import Architecture, Stage
from networks.student.model import StudentDiT
from training import timesteps
from training.average import Average
from training.batches import Batch
from training.failures import out_of_memory, validation_out_of_memory
from training.freed import FreedGradients
from training.objective import losses
from training.optimizer import (
    freeze,
    learning_rate,
    make_optimizer,
    optimizer_step,
    set_rate,
)
from training.recompute import blocks_to_spare

ARCHITECTURE = Architecture(
    width=32, heads=2, double_blocks=1, single_blocks=4, patch=8, tile=64, overlap=16
)


def test_the_schedules_of_the_recipe() -> None:
    constant = Stage(learning_rate=1e-5, warmup=100, steps=500, schedule="constant")
    assert learning_rate(constant, 0) == pytest.approx(1e-7)
    assert learning_rate(constant, 49) == pytest.approx(5e-6)
    assert learning_rate(constant, 100) == learning_rate(constant, 499) == 1e-5
    cosine = Stage(learning_rate=1e-5, warmup=100, steps=1500, schedule="cosine")
    assert learning_rate(cosine, 99) == learning_rate(cosine, 100) == 1e-5
    assert learning_rate(cosine, 800) == pytest.approx(5e-6)
    assert 0 < learning_rate(cosine, 1499) < 1e-10
    assert learning_rate(cosine, 1500) == 0


def test_frozen_parameters_keep_their_values_and_the_others_learn() -> None:
    torch.manual_seed(0)
    model = StudentDiT(ARCHITECTURE)
    with torch.no_grad():  # some layers start at zero and would pass no gradient on
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    frozen = freeze(model, ("single_blocks.0.*",))
    assert frozen
    assert all(name.startswith("single_blocks.0.") for name in frozen)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = make_optimizer(
        [p for p in model.parameters() if p.requires_grad],
        Stage(weight_decay=0.1, learning_rate=1e-2),
    )
    pixels = torch.randn(2, 3, 16, 16)
    model(pixels, pixels, torch.rand(2), torch.tensor([0, 1])).square().mean().backward()
    optimizer.step()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == (name in frozen), name


def test_a_pattern_that_matches_nothing_is_refused_with_the_nearest_name() -> None:
    model = StudentDiT(ARCHITECTURE)
    with pytest.raises(UserError, match=re.escape("nearest name is single_blocks.0")):
        freeze(model, ("single_block.0.linear1.weight",))
    with pytest.raises(UserError, match="every parameter is frozen"):
        freeze(model, ("*",))


def test_densities_of_times() -> None:
    rng = np.random.default_rng(0)
    drawn = {
        name: np.array([timesteps.draw(name, 3.0, rng) for _ in range(4000)])
        for name in ("uniform", "logit-normal", "shifted")
    }
    for times in drawn.values():
        assert times.min() >= 0
        assert times.max() <= 1
    assert drawn["uniform"].mean() == pytest.approx(0.5, abs=0.02)
    assert drawn["logit-normal"].std() == pytest.approx(0.208, abs=0.02)
    # E[s u / (1 + (s-1) u)] = s/(s-1) - s ln(s)/(s-1)^2
    assert drawn["shifted"].mean() == pytest.approx(1.5 - 3 * math.log(3) / 4, abs=0.02)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    pixels = [torch.randn(2, 3, 16, 16, generator=generator) for _ in range(3)]
    return Batch(
        (),
        *pixels,
        t=torch.tensor([0.3, 0.9]),
        instruction=torch.tensor([0, 8]),
        styled=torch.zeros(2, dtype=torch.bool),
    )


@pytest.mark.parametrize("prediction", ["velocity", "residual"])
@pytest.mark.parametrize("times", [(0.3, 0.9), (0.06, 1.0)])
def test_an_untrained_network_has_the_loss_worked_out_by_hand(
    prediction: str, times: tuple[float, float]
) -> None:
    model = StudentDiT(ARCHITECTURE.model_copy(update={"prediction": prediction}))
    given = replace(batch(), t=torch.tensor(times))
    t = given.t[:, None, None, None]
    # The last layer is zero: velocity 0, or a clean image equal to the degraded one.
    clean = (1 - t) * given.clean + t * given.noise if prediction == "velocity" else given.degraded
    error = (clean - given.clean).square().mean(dim=(1, 2, 3))
    assert torch.allclose(losses(model, given, "psnr"), torch.log(error + 1e-5), atol=1e-5)
    assert torch.allclose(losses(model, given, "velocity"), error / given.t.square(), rtol=1e-4)


def test_a_small_time_weighs_no_more_than_one_of_a_twentieth() -> None:
    """Unbounded, an error of the clean image would count a million times at t = 1e-3."""
    model = StudentDiT(ARCHITECTURE)
    small = replace(batch(), t=torch.tensor([1e-3, 0.04]))
    error = (small.degraded - small.clean).square().mean(dim=(1, 2, 3))
    assert torch.allclose(losses(model, small, "velocity"), error / 0.05**2, rtol=1e-4)
    # The network that puts out the velocity has no division to bound.
    direct = StudentDiT(ARCHITECTURE.model_copy(update={"prediction": "velocity"}))
    target = (small.noise - small.clean).square().mean(dim=(1, 2, 3))
    assert torch.allclose(losses(direct, small, "velocity"), target, rtol=1e-4)


@pytest.mark.parametrize("t", [0.0, 1e-4, 1e-2, 0.5, 1.0])
def test_a_perfect_prediction_has_no_loss_at_any_time(t: float) -> None:
    """The untrained residual network puts out the degraded image, which is the clean one here."""
    given = batch()
    same = replace(given, degraded=given.clean, t=torch.full((2,), t))
    assert not losses(StudentDiT(ARCHITECTURE), same, "velocity").any()


def test_the_average_follows_slowly_and_starts_quickly() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = Average(model, 0.9)
    nn.init.ones_(model.weight)
    average.update(model, 0)
    assert average.weights["weight"].item() == pytest.approx(0.9)  # 1 - 1/10
    average.update(model, 10**6)
    assert average.weights["weight"].item() == pytest.approx(0.91)  # 0.9 * 0.9 + 0.1


def small(dtype: torch.dtype) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(64, 64, bias=False).to(dtype)


def test_bf16_weights_move_by_less_than_their_last_digit() -> None:
    """Rounded to nearest, a step of 1e-5 on weights near 1 is lost; stochastically it is not."""
    pytest.importorskip("torchao")
    model = small(torch.bfloat16)
    nn.init.ones_(model.weight)
    optimizer = make_optimizer(model.parameters(), Stage(learning_rate=1e-5))
    for _ in range(50):
        model.weight.grad = torch.ones_like(model.weight)
        set_rate(optimizer, 1e-5)
        optimizer_step(optimizer)
    moved = 1 - model.weight.detach().float()
    assert moved.mean().item() == pytest.approx(50e-5, rel=0.25)
    assert len(moved.unique()) > 1


def test_states_in_8_bits_follow_those_in_32() -> None:
    pytest.importorskip("torchao")
    models = {"adamw": small(torch.float32), "adamw-8bit": small(torch.float32)}
    target = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    for name, model in models.items():
        stage = Stage(learning_rate=1e-2, optimizer=name)  # type: ignore[arg-type]
        optimizer = make_optimizer(model.parameters(), stage)
        for _ in range(20):
            (model.weight - target).square().sum().backward()
            optimizer_step(optimizer)
            optimizer.zero_grad()
        if name == "adamw-8bit":
            (state,) = optimizer.state.values()
            assert state["exp_avg"].codes.dtype == torch.uint8
    one, two = (model.weight.detach() for model in models.values())
    assert (one - two).norm() < 0.05 * (one - small(torch.float32).weight.detach()).norm()


@pytest.mark.parametrize("mode", ["exact", "lagged"])
def test_freed_gradients_take_the_steps_of_kept_ones(mode: str) -> None:
    """exact: the same weights; lagged: too, where nothing is clipped. No gradient is left over."""
    data = torch.randn(8, 64, generator=torch.Generator().manual_seed(2))
    clip = 0.1 if mode == "exact" else 1e6
    stage = Stage(learning_rate=1e-2, clip=clip, free_gradients=mode, batch=1)  # type: ignore[arg-type]
    kept, freed = small(torch.float32), small(torch.float32)
    optimizer = make_optimizer(kept.parameters(), stage)
    own = FreedGradients(freed.parameters(), stage)
    for _ in range(4):
        kept(data).square().mean().backward()
        norm = torch.nn.utils.clip_grad_norm_(kept.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad()

        def backward() -> torch.Tensor:
            loss = freed(data).square().mean()
            loss.backward()
            return loss.detach()[None]

        _, found = own.step(backward, 1e-2)
        assert found == pytest.approx(norm.item(), rel=1e-4)
        assert freed.weight.grad is None
    assert torch.allclose(kept.weight, freed.weight, atol=1e-6)


def test_as_many_blocks_as_fit_are_not_recomputed() -> None:
    assert blocks_to_spare([1.0] * 57, 40.0) == 40
    assert blocks_to_spare([1.0] * 30, 40.0) == 30
    assert blocks_to_spare([1.0] * 30, -10.0) == 0
    assert blocks_to_spare([0.1] * 2 + [2.0] * 19 + [1.0] * 38, 40.2) == 23


def test_too_little_memory_names_the_next_step_by_how_much() -> None:
    stage = Stage(batch=8)
    assert "micro_batch to 4 (now 8)" in out_of_memory(stage, 8, 16).remedy
    one = stage.model_copy(update={"micro_batch": 1})
    assert "activation_checkpointing to full" in out_of_memory(one, 8, 16).remedy
    full = one.model_copy(update={"activation_checkpointing": "full"})
    assert "adamw-8bit" in out_of_memory(full, 8, 16).remedy
    adapters = full.model_copy(update={"lora_rank": 64, "crop": 1024})
    assert "crop to 704 (now 1024)" in out_of_memory(adapters, 8, 16).remedy
    assert "micro_batch to 9 (now 18)" in validation_out_of_memory(stage, 18, 16).remedy
    one_by_one = validation_out_of_memory(adapters, 1, 16).remedy
    assert "network.offload to true" in one_by_one
    assert "crop to 704" in one_by_one
    wide = Stage(batch=8, crop=96)
    assert "crop to 64 (now 96)" in validation_out_of_memory(wide, 1, 32).remedy
    least = wide.model_copy(update={"crop": 32})
    assert "crop cannot go lower (now 32)" in validation_out_of_memory(least, 1, 32).remedy
