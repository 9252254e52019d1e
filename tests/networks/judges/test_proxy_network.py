"""The judge's network: what it is shown, and how it counts."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import decode
from networks.degraders import load_degrader
from networks.fitting.state import write_network
from networks.judges.proxy import head
from networks.judges.proxy.fit import scenes, train
from networks.judges.proxy.fit.packed import unpack
from networks.judges.proxy.fit.pool import Pool, mirrored
from networks.judges.proxy.fit.said import blended
from networks.judges.proxy.measures import measure_views
from networks.judges.proxy.network import (
    CELL,
    FULL_SIZE_FROM,
    MEAN_OF_VIEWS,
    PLACE,
    STRONGER_VIEW,
    SeverityNet,
    load_network,
    severities,
)
from networks.judges.proxy.sight import load_sight
from networks.judges.proxy.views import coarse_of, look
from networks.pyramid import planes, planes_of


class FewPhotos(scenes.Maker):
    """A maker of scenes of photos at hand; the packages are not."""

    def __init__(self) -> None:
        super().__init__([data.astronaut(), data.coffee(), data.chelsea()], [data.rocket()])


def test_weights_survive_saving_and_others_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = SeverityNet().eval()
    place = tmp_path / "net.safetensors"
    sha256 = write_network(net, place)
    views = look(data.coffee())
    first, second = severities(net, views), severities(load_network(sha256, place), views)
    assert [first[d] for d in Degradation] == pytest.approx([second[d] for d in Degradation], 0.01)
    place.write_bytes(PLACE.read_bytes())
    with pytest.raises(UserError, match="have the SHA-256"):
        load_network(sha256 + " ", place)


@pytest.mark.parametrize("size", [(32, 32), (33, 900), (1600, 50)])
def test_views_of_any_shape_have_severities_within_bounds(size: tuple[int, int]) -> None:
    net = load_network(head.hashes()["network"])
    for value in (0, 255):
        found = severities(net, look(np.full((*size, 3), value, np.uint8)))
        assert all(0 <= severity <= 6 for severity in found.values())


@pytest.mark.parametrize("name", ["blur", "noise", "haze", "rain", "reflection"])
def test_the_network_ranks_versions_of_a_photo(name: str) -> None:
    net = load_network(head.hashes()["network"])
    degrader = load_degrader(name, layers=[data.coffee()] if name == "reflection" else [])
    strong, mild = (
        degrader.degrade(data.astronaut(), severity, np.random.default_rng(1))
        for severity in (1.2, 4.6)
    )
    worse, better = (severities(net, look(one))[Degradation(name)] for one in (strong, mild))
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
        assert scene.effects[0].shape == (*(-(-s // CELL) for s in scene.images[0].shape[:2]), 4)
        # What was done more strongly changed more, where nothing else differs.
        if scene.strengths[1] < 0:
            assert not scene.effects[1].any()
            assert scene.effects[0].any()


def _marked(rows: int, columns: int, cell: tuple[int, int]) -> scenes.Scene:
    """A photo, and the same with one cell inverted."""
    image = np.ascontiguousarray(data.astronaut()[:rows, :columns])
    down, right = (CELL * at for at in cell)
    marked = image.copy()
    marked[down : down + CELL, right : right + CELL] ^= 255
    effect = np.zeros((-(-rows // CELL), -(-columns // CELL), 4), np.float16)
    effect[(*cell, 0)] = 1
    return scenes.Scene((image, marked), 3, (0.25, -1.0), (effect * 0, effect))


def test_a_window_cuts_images_and_effects_at_one_place() -> None:
    pool = Pool(3, "cpu")
    rng = np.random.default_rng(0)
    # The first makes way for the last; those that stay are smaller than the window in a side.
    shapes = [(100, 80), (200, 400), (400, 200), (120, 136)]
    pool.put([_marked(*shape, (9, 9)) for shape in shapes])
    assert len(pool) == 3
    places = pool.last(3).repeat(8)
    windows = pool.windows(places, 256, rng)
    assert windows.images.shape == (24, 2, 256, 256, 3)
    assert windows.effects.shape == (24, 2, 32, 32, 4)
    assert windows.kinds.tolist() == [3] * 24
    assert windows.strengths.tolist() == [[0.25, -1.0]] * 24
    before, after = windows.images.unbind(1)
    changed = (before != after).any(dim=3).unflatten(2, (32, CELL)).unflatten(1, (32, CELL))
    none, there = windows.effects[..., 0].unbind(1)
    np.testing.assert_array_equal(changed.any(dim=4).any(dim=2)[:16], there[:16] > 0)
    assert not none.any()
    assert len({image.numpy().tobytes() for image in before}) > 12
    # Of the wide one, each window is a part of the photo in full height, mirrored or not.
    photo = data.astronaut()[:200, :400]
    for image in before[:8, :200].numpy():
        assert any(
            np.array_equal(photo[:, right : right + 256], one)
            for one in (image, image[:, ::-1])
            for right in range(0, 400 - 256 + 1, CELL)
        )


def test_scenes_that_do_not_fit_are_refused_at_once() -> None:
    with pytest.raises(UserError, match="scenes do not fit into the memory of cpu"):
        Pool(10**9, "cpu")


def test_a_window_larger_than_its_scene_is_mirrored_at_the_border() -> None:
    extent = torch.tensor([[5], [1]])
    found = mirrored(torch.arange(12).expand(2, -1), extent)
    assert found.tolist() == [[0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3], [0] * 12]


def test_a_pack_is_read_as_it_was_written_and_others_are_refused(tmp_path: Path) -> None:
    for name, photo in (("photos", data.coffee()), ("others", data.rocket())):
        (tmp_path / name).mkdir()
        Image.fromarray(photo).save(tmp_path / name / "0000.webp", lossless=True)
    photos, others = unpack(tmp_path)
    np.testing.assert_array_equal(photos[0], data.coffee())
    np.testing.assert_array_equal(others[0], data.rocket())
    other = tmp_path / "others" / "0000.webp"
    other.write_bytes(other.read_bytes()[:-500])  # as a copy that was cut off
    with pytest.raises(UserError, match="is no whole picture"):
        unpack(tmp_path)
    other.unlink()
    with pytest.raises(UserError, match="lacks the folders photos and others"):
        unpack(tmp_path)


def test_planes_on_a_device_are_those_of_the_judge() -> None:
    images = np.stack([data.astronaut()[:160, :200], data.coffee()[100:260, 200:400]])
    images[0, :40] = 0  # calm, where the deviation is least
    found = planes_of(torch.from_numpy(images))
    for image, one in zip(images, found, strict=True):
        expected = planes(image.astype(np.float32) / np.float32(255))
        np.testing.assert_allclose(one.numpy(), expected, atol=2e-5)


def test_training_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    plan = train.Plan(steps=2, batch=2, fresh=1, side=64, last_side=96)
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
    views = look(data.coffee())
    seen = {**measure_views(views), **load_sight(head.hashes()["sight"]).look(views)}
    for one in head.load_heads().values():
        strong, mild = (one.answer(seen, severity).severity for severity in (1.0, 5.0))
        assert strong < mild
        assert 0 < one.listened <= 1
        found = [float(one.blend(*np.array([pair]).T)[0]) for pair in ((2.0, 4.0), (4.0, 2.0))]
        assert found == pytest.approx([2 + 2 * one.listened, 4 - 2 * one.listened])


def test_what_is_fine_is_looked_at_in_full_size() -> None:
    net = load_network(head.hashes()["network"])
    large = np.tile(data.coffee(), (2, 2, 1))
    views = look(large)
    coded = io.BytesIO()
    Image.fromarray(large).save(coded, "JPEG", quality=8)
    other = replace(views, fine=look(decode(coded.getvalue())).fine)
    before, after = severities(net, views), severities(net, other)
    assert after[Degradation.COMPRESSION] < before[Degradation.COMPRESSION] - 1
    same = set(Degradation) - set(STRONGER_VIEW) - set(MEAN_OF_VIEWS)
    assert {d: before[d] for d in same} == {d: after[d] for d in same}
    # Of an image that is hardly larger the coarse view shows the same, and once is enough.
    blank = np.zeros((400, 400, 3), np.float32)
    for photo in (data.chelsea()[:400, :400], data.coffee()):
        views = look(photo)
        assert views.scale < FULL_SIZE_FROM
        assert severities(net, views) == severities(net, replace(views, fine=blank))


def test_the_coarse_view_is_what_the_judge_looks_at() -> None:
    wide = np.tile(data.coffee(), (1, 5, 1))
    view = look(wide).coarse
    np.testing.assert_array_equal(coarse_of(wide).astype(np.float32) / np.float32(255), view)
