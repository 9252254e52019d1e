"""The judge's network: what it is shown, and how it counts."""

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
from networks.judges.proxy.fit import scenes, train
from networks.judges.proxy.fit.said import blended
from networks.judges.proxy.measures import measure
from networks.judges.proxy.network import (
    CELL,
    PLACE,
    SeverityNet,
    load_network,
    severities,
)
from networks.judges.proxy.views import coarse_of, look


class FewPhotos(scenes.Maker):
    """A maker of scenes of photos at hand; the packages are not."""

    def __init__(self) -> None:
        self.photos = [data.astronaut(), data.coffee(), data.chelsea()]
        self.others = [data.rocket()]


def test_weights_survive_saving_and_others_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = SeverityNet().eval()
    place = tmp_path / "net.safetensors"
    sha256 = write_network(net, place)
    view = look(data.coffee()).coarse
    first, second = severities(net, view), severities(load_network(sha256, place), view)
    assert [first[d] for d in Degradation] == pytest.approx([second[d] for d in Degradation], 0.01)
    place.write_bytes(PLACE.read_bytes())
    with pytest.raises(UserError, match="have the SHA-256"):
        load_network(sha256 + " ", place)


@pytest.mark.parametrize("size", [(32, 32), (33, 900), (1600, 50)])
def test_views_of_any_shape_have_severities_within_bounds(size: tuple[int, int]) -> None:
    net = load_network(head.network_sha256())
    for value in (0, 255):
        found = severities(net, look(np.full((*size, 3), value, np.uint8)).coarse)
        assert all(0 <= severity <= 6 for severity in found.values())


@pytest.mark.parametrize("name", ["blur", "noise", "haze", "rain", "reflection"])
def test_the_network_ranks_versions_of_a_photo(name: str) -> None:
    net = load_network(head.network_sha256())
    degrader = load_degrader(name, layers=[data.coffee()] if name == "reflection" else [])
    strong, mild = (
        degrader.degrade(data.astronaut(), severity, np.random.default_rng(1))
        for severity in (1.2, 4.6)
    )
    worse, better = (severities(net, look(one).coarse)[Degradation(name)] for one in (strong, mild))
    assert worse + 0.5 < better


def test_a_scene_differs_in_what_is_said_of_it() -> None:
    maker = FewPhotos()
    rng = np.random.default_rng(5)
    made = [maker.make(rng) for _ in range(60)]
    assert len({scene.kind for scene in made}) >= 7
    clean = [scene for scene in made if scene.strengths[1] < 0]
    assert 5 <= len(clean) <= 35
    for scene in made:
        assert scene.images[0].shape == scene.images[1].shape
        assert scene.effects[0].shape == tuple(-(-s // CELL) for s in scene.images[0].shape[:2])
        # What was done more strongly changed more, where nothing else differs.
        if scene.strengths[1] < 0:
            assert not scene.effects[1].any()
            assert scene.effects[0].any()


def test_a_window_cuts_images_and_effects_at_one_place() -> None:
    photo = data.astronaut()
    image = np.ascontiguousarray(photo[:200, :400])
    marked = image.copy()
    marked[64:72, 128:136] = 255 - marked[64:72, 128:136]
    effect = np.zeros((25, 50), np.float16)
    effect[8, 16] = 1
    scene = scenes.Scene((image, marked), 0, (0.5, 0.5), (effect * 0, effect))
    for seed in range(6):
        rng = np.random.default_rng(seed)
        (before, after), (none, there) = scenes.window(scene, 256, rng)
        assert before.shape == after.shape == (256, 256, 3)
        assert none.shape == there.shape == (32, 32)
        changed = (before != after).any(axis=2).reshape(32, CELL, 32, CELL).any(axis=(1, 3))
        np.testing.assert_array_equal(changed, there > 0)
        assert not none.any()


def test_training_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    plan = train.Plan(steps=2, batch=2, fresh=1, primed=4, side=64)
    net = train.train(FewPhotos(), tmp_path, plan)
    assert not any(part.training for part in net.modules() if "Norm" in type(part).__name__)
    place = tmp_path / "state.pt"
    state = torch.load(place, weights_only=True)
    assert state["step"] == 2
    state["average"]["effect.bias"] += 7
    torch.save(state, place)
    again = train.train(FewPhotos(), tmp_path, plan)
    torch.testing.assert_close(again.effect.bias, net.effect.bias + 7)


def test_the_share_that_is_listened_to_counts() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.uniform(1, 5, 200)
    kernel, network = drawn + rng.normal(0, 1, 200), drawn + rng.normal(0, 1, 200)
    alone, _, both, _, other = blended(kernel, network, drawn)
    assert both > max(alone, other)
    heads = head.load_heads()
    listening = [one for one in heads.values() if one.listened]
    assert listening
    measures = measure(data.coffee())
    for one in listening:
        strong, mild = (one.answer(measures, severity).severity for severity in (1.0, 5.0))
        assert strong < mild
        assert 0 < one.listened <= 1
        middle = one.blend(np.array([2.0]), np.array([4.0]))
        assert middle == pytest.approx(2 + 2 * one.listened)


def test_the_coarse_view_is_what_the_judge_looks_at() -> None:
    wide = np.tile(data.coffee(), (1, 5, 1))
    view = look(wide).coarse
    np.testing.assert_array_equal(coarse_of(wide).astype(np.float32) / np.float32(255), view)
