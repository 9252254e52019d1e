"""The training of the judge's network: what it is shown, where it starts, and that it goes on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from networks.judges.proxy.fit import ladder, scenes, sources, train
from networks.judges.proxy.fit.compare import SHARES, blended
from networks.judges.proxy.fit.network import SeverityNet, load_network, save, severities

SEED = 20261126


@pytest.fixture(scope="module")
def photos() -> list[Rgb]:
    """Three scenes with detail at all scales."""
    rng = np.random.default_rng(SEED)
    cells = (90, 30, 10, 2)
    return [
        (sum(np.kron(rng.random((360 // c, 540 // c, 3)), np.ones((c, c, 1))) for c in cells) * 60)
        .clip(0, 255)
        .astype(np.uint8)
        for _ in range(3)
    ]


def test_a_scene_is_the_same_whenever_it_is_made_and_says_what_was_done(photos: list[Rgb]) -> None:
    made = [scenes.make(photos, np.random.default_rng([SEED, n])) for n in range(30)]
    again = scenes.make(photos, np.random.default_rng([SEED, 7]))
    assert all(map(np.array_equal, again.images, made[7].images))
    assert (again.kind, again.strengths) == (made[7].kind, made[7].strengths)
    assert all(one.images[0].shape == one.images[1].shape for one in made)
    assert all(max(one.images[0].shape[:2]) <= 512 for one in made)
    assert len({one.kind for one in made}) >= 6
    second = [one.strengths[1] for one in made]
    assert {-1.0} < set(second)  # some clean, some not
    assert all(0 <= strength <= 1 for strength in second if strength != -1)


def test_of_two_versions_the_stronger_is_more_degraded(
    photos: list[Rgb], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "SHARES", {Degradation.LOW_LIGHT: 1.0})
    compared = 0
    for seed in range(12):
        one = scenes.make(photos, np.random.default_rng([SEED, seed]))
        first, second = one.strengths
        if abs(first - second) > 0.35:
            light = [float(image.mean()) for image in one.images]
            assert (light[0] < light[1]) == (first > second)
            compared += 1
    assert compared >= 4


def test_windows_show_one_place_and_are_whole_where_the_scene_is_smaller() -> None:
    image = np.arange(40 * 300 * 3, dtype=np.uint32).reshape(40, 300, 3).astype(np.uint8)
    scene = scenes.Scene((image, image), 0, (0.5, -1.0))
    for seed in range(4):
        first, second = scenes.window(scene, 64, np.random.default_rng(seed))
        assert first.shape == (64, 64, 3)
        assert np.array_equal(first, second)


def test_held_out_photos_are_those_whose_sources_the_network_is_asked_about() -> None:
    held = {photo for photo in range(sources.COUNT) if scenes.is_held_out(photo)}
    crops = [s for s in range(ladder.SOURCES) if scenes.is_held_out(ladder.photo_of(s))]
    assert {ladder.photo_of(source) for source in crops} == held
    assert {ladder.photo_of(source) for source in range(ladder.SOURCES)} == set(
        range(sources.COUNT)
    )
    assert 0.15 < len(held) / sources.COUNT < 0.18


def test_the_first_sources_are_whole_and_of_both_old_kinds() -> None:
    rows = ladder.first(124)
    assert rows.sum() == 124 * ladder.ROWS
    taken = rows.reshape(ladder.SOURCES, ladder.ROWS)
    assert set(taken.sum(axis=1)) == {0, ladder.ROWS}
    photos = {ladder.photo_of(int(source)) for source in np.flatnonzero(taken[:, 0])}
    assert min(photos) < sources.COUNTS[0] < max(photos) < sum(sources.COUNTS[:2])
    assert ladder.first(ladder.SOURCES).all()


def test_pictures_of_another_package_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pictures/tuxpaint-data").mkdir(parents=True)
    np.save(tmp_path / "pictures/tuxpaint-data/0.npy", np.zeros((300, 300, 3), np.uint8))
    with pytest.raises(UserError, match="not those that the judge was fitted to"):
        sources.load(tmp_path, sources.COUNT - 1)


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A network to start from, which the training is told to take."""
    import hashlib

    torch.manual_seed(SEED)
    place = tmp_path / "marks.safetensors"
    save_file(dict(SeverityNet().state_dict()), place)
    monkeypatch.setattr(train, "START", hashlib.sha256(place.read_bytes()).hexdigest())
    yield place


def test_training_starts_from_the_pinned_network_and_keeps_its_statistics(
    photos: list[Rgb], marks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = train.Plan(steps=2, batch=4, fresh=2, primed=8, side=64, warmup=1)
    net = train.train(photos, marks, tmp_path, plan)
    torch.manual_seed(SEED)
    first = SeverityNet().state_dict()
    found = net.state_dict()
    assert torch.equal(found["deep.0.1.running_mean"], first["deep.0.1.running_mean"])
    assert not torch.equal(found["deep.0.0.weight"], first["deep.0.0.weight"])
    # What the head is normalised by comes from scenes.
    assert not torch.equal(found["norm.running_mean"], first["norm.running_mean"])
    # Two steps are done: going on with the same plan does nothing more.
    again = train.train(photos, marks, tmp_path, plan)
    assert all(torch.equal(value, found[name]) for name, value in again.state_dict().items())
    longer = train.train(photos, marks, tmp_path, replace(plan, steps=3))
    assert not torch.equal(longer.state_dict()["deep.0.0.weight"], found["deep.0.0.weight"])
    monkeypatch.setattr(train, "START", "0" * 64)
    with pytest.raises(UserError, match="have the SHA-256"):
        train.train(photos, marks, tmp_path, plan)


def test_a_share_of_the_network_that_is_right_where_the_kernel_is_not_ranks_better() -> None:
    rng = np.random.default_rng(SEED)
    drawn = rng.uniform(1, 5, 200)
    good, bad = drawn + rng.normal(0, 0.3, 200), drawn + rng.normal(0, 3, 200)
    helped, harmed = blended(bad, good, drawn), blended(good, bad, drawn)
    assert int(np.argmax(helped)) == len(SHARES) - 1
    assert int(np.argmax(harmed)) == 0


def test_the_network_says_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    torch.manual_seed(SEED)
    save(SeverityNet(), tmp_path / "network.safetensors")
    view = np.random.default_rng(SEED).random((75, 98, 3), np.float32)
    first = severities(load_network(tmp_path / "network.safetensors"), view)
    assert first == severities(load_network(tmp_path / "network.safetensors"), view.copy())
    assert set(first) == {degradation.value for degradation in Degradation}
    assert all(np.isfinite(value) for value in first.values())
