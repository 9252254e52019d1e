"""Schedule, frozen parameters, times, losses and the moving average."""

import math
import re

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
from training.objective import losses
from training.optimizer import freeze, learning_rate, make_optimizer

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
    assert model.refiner is not None
    nn.init.normal_(model.refiner.out.weight, std=0.02)
    frozen = freeze(model, ("single_blocks.0.*",))
    assert frozen
    assert all(name.startswith("single_blocks.0.") for name in frozen)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = make_optimizer(model, Stage(weight_decay=0.1, learning_rate=1e-2))
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
    return Batch((), *pixels, t=torch.tensor([0.3, 0.9]), instruction=torch.tensor([0, 8]))


@pytest.mark.parametrize("prediction", ["velocity", "residual"])
def test_an_untrained_network_has_the_loss_worked_out_by_hand(prediction: str) -> None:
    model = StudentDiT(ARCHITECTURE.model_copy(update={"prediction": prediction}))
    given = batch()
    t = given.t[:, None, None, None]
    # The last layer is zero: velocity 0, or a clean image equal to the degraded one.
    clean = (1 - t) * given.clean + t * given.noise if prediction == "velocity" else given.degraded
    error = (clean - given.clean).square().mean(dim=(1, 2, 3))
    assert torch.allclose(losses(model, given, "psnr"), torch.log(error + 1e-5), atol=1e-5)
    assert torch.allclose(losses(model, given, "velocity"), error / given.t.square(), rtol=1e-4)


def test_the_average_follows_slowly_and_starts_quickly() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = Average(model, 0.9)
    nn.init.ones_(model.weight)
    average.update(model, 0)
    assert average.weights["weight"].item() == pytest.approx(0.9)  # 1 - 1/10
    average.update(model, 10**6)
    assert average.weights["weight"].item() == pytest.approx(0.91)  # 0.9 * 0.9 + 0.1
