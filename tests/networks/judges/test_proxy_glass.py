"""The network of reflections: what it is shown, what it learns, and how it counts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from catalog.degradations import Degradation
from catalog.errors import UserError
from networks.degraders import load_degrader
from networks.fitting.state import write_network
from networks.judges.proxy import head
from networks.judges.proxy.fit import glass as fit
from networks.judges.proxy.fit.pool import Pool
from networks.judges.proxy.fit.scenes import Maker
from networks.judges.proxy.glass import PLACE, STEM, GlassNet, load_glass, reflection
from networks.judges.proxy.network import CELL
from networks.judges.proxy.sight import load_backbone
from networks.judges.proxy.views import look

PHOTOS = [data.astronaut(), data.coffee(), data.chelsea()]


def reflected(severity: float, grain: float = 0.0) -> np.ndarray:
    degrader = load_degrader("reflection", layers=[data.coffee()])
    image = degrader.degrade(data.astronaut(), severity, np.random.default_rng(1))
    noise = np.random.default_rng(2).normal(0, grain, image.shape)
    return look(np.clip(image + noise, 0, 255).astype(np.uint8)).coarse


def test_weights_survive_saving_and_others_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = GlassNet(load_backbone()).eval()
    torch.nn.init.normal_(net.effect.weight)
    place = tmp_path / "net.safetensors"
    sha256 = write_network(net, place, without=(STEM,))
    view = look(data.coffee()).coarse
    again = load_glass(sha256, place)
    assert reflection(net, view) == pytest.approx(reflection(again, view), abs=0.02)
    place.write_bytes(PLACE.read_bytes())
    with pytest.raises(UserError, match="the judge's network of reflections"):
        load_glass(sha256 + " ", place)


@pytest.mark.parametrize("size", [(32, 32), (33, 900), (1600, 50)])
def test_views_of_any_shape_have_a_severity_within_bounds(size: tuple[int, int]) -> None:
    net = load_glass(head.hashes()["glass"])
    for value in (0, 255):
        assert 0 <= reflection(net, look(np.full((*size, 3), value, np.uint8)).coarse) <= 6


@pytest.mark.parametrize("grain", [0.0, 4.0])
def test_versions_of_a_photo_are_ranked_under_grain_too(grain: float) -> None:
    net = load_glass(head.hashes()["glass"])
    strong, mild = (reflection(net, reflected(severity, grain)) for severity in (1.2, 4.6))
    assert strong + 0.5 < mild


def test_windows_of_all_sides_are_shown_at_one_with_their_effects_in_place() -> None:
    pool = Pool(8, "cpu")
    maker = Maker(PHOTOS, [data.rocket()], fit.SHARES)
    scenes = [maker.make(np.random.default_rng(seed)) for seed in range(6)]
    assert {list(Degradation)[scene.kind] for scene in scenes} == {Degradation.REFLECTION}
    pool.put(scenes)
    plan = fit.Plan(grainy=0.0)
    for side in plan.sides:
        windows = pool.windows(pool.last(6), side, np.random.default_rng(0))
        images, cells = fit.shown(windows, plan, np.random.default_rng(0))
        assert images.shape == (12, 3, plan.side, plan.side)
        assert cells.shape == (12, plan.side // CELL, plan.side // CELL)
        torch.testing.assert_close(images, images.round().clamp(0, 255))
        before, after = windows.images.flatten(0, 1).float().mean(dim=(1, 2)), images.mean((2, 3))
        torch.testing.assert_close(before, after, atol=1.5, rtol=0)
        means = windows.effects[..., 0].flatten(0, 1).float().mean(dim=(1, 2))
        torch.testing.assert_close(means, cells.mean(dim=(1, 2)), atol=0.03, rtol=0)


def test_grain_is_as_strong_as_planned_and_left_out_as_often() -> None:
    plan = fit.Plan(grainy=0.5)
    grey = torch.full((400, 3, 64, 64), 128.0)
    noise = fit._grainy(grey, plan, np.random.default_rng(3)) - grey
    sigma = noise.std(dim=(1, 2, 3))
    none = sigma == 0
    assert none.float().mean() == pytest.approx(0.5, abs=0.08)
    # Coarse grain is a little weaker: its mean of nine is taken 2.5 and not 3 times.
    assert 0.75 < sigma[~none].min() < 1.3
    assert 9 < sigma[~none].max() < 12.5
    right = (noise[..., 1:] * noise[..., :-1]).mean(dim=(1, 2, 3)) / sigma.square().clamp(min=1e-6)
    coarse = right[~none] > 0.3
    assert coarse.float().mean() == pytest.approx(0.5, abs=0.1)


def test_training_goes_on_where_it_was_stopped_and_keeps_imagenet_s_edges(tmp_path: Path) -> None:
    plan = fit.Plan(steps=2, batch=2, fresh=1, kept=8, side=64, sides=(64, 96), warmup=1)
    maker = Maker(PHOTOS, [data.rocket()], fit.SHARES)
    net = fit.train(maker, tmp_path, plan)
    assert not any(part.training for part in net.modules())
    fresh = GlassNet(load_backbone())
    for name, value in fresh.stem.state_dict().items():
        torch.testing.assert_close(net.stem.state_dict()[name], value, atol=0, rtol=0)
    moved = {
        name
        for name, value in fresh.deep.state_dict().items()
        if not torch.equal(net.deep.state_dict()[name], value)
    }
    assert any("conv" in name for name in moved)
    assert not any("running" in name for name in moved)

    place = tmp_path / "state.pt"
    state = torch.load(place, weights_only=True)
    assert state["step"] == 2
    state["average"]["effect.bias"] += 7
    torch.save(state, place)
    again = fit.train(maker, tmp_path, plan)
    torch.testing.assert_close(again.effect.bias, net.effect.bias + 7)
