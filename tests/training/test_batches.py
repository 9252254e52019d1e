"""Batches: both sides cropped and flipped alike, reproducible, shared out over processes."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.training import Stage
from catalog.shards import ShardStore
from networks.degraders import load_degrader
from networks.student.model import NO_INSTRUCTION
from networks.student.patches import to_tensor
from tests.training.dataset import make_dataset
from training.batches import BatchMaker, crop, prefetch
from training.draws import Draws, Pair
from training.fresh import fresh
from training.images import PairImages
from training.stage import read_pairs

STAGE = Stage(batch=9, crop=32)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("tree"))
    make_dataset(layout)
    return layout


def maker(layout: Layout, stage: Stage = STAGE, cache: int = 10**9, **given: object) -> BatchMaker:
    images = PairImages(ShardStore(layout.raw, layout.synthetic), cache)
    pairs = read_pairs(layout.dataset)["train"]
    return BatchMaker(Draws(pairs, 1, 0, 0), images, stage, **given)  # type: ignore[arg-type]


@given(st.integers(1, 50), st.integers(1, 50), st.floats(0, 0.999), st.floats(0, 0.999))
@settings(deadline=None)
def test_a_crop_takes_the_same_pixels_of_both_sides(
    height: int, width: int, y: float, x: float
) -> None:
    clean = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    degraded = 255 - clean
    one, two = crop(degraded, clean, 24, (y, x))
    assert one.shape == two.shape == (24, 24, 3)
    assert np.array_equal(one, 255 - two)


def test_flips_are_the_same_on_both_sides(layout: Layout) -> None:
    made = maker(layout, STAGE.model_copy(update={"batch": 64}))
    # With the degraded image in place of the clean one, both sides must stay equal.
    for pool in made.draws.pools.values():
        pool[:] = [
            Pair(p.pair_id, p.degraded_id, p.degraded_id, p.degradation, p.origin) for p in pool
        ]
    batch = made.batch(0)
    assert torch.equal(batch.degraded, batch.clean)
    unflipped = maker(layout, STAGE.model_copy(update={"batch": 64, "flip": False})).batch(0)
    same = [torch.equal(a, b) for a, b in zip(batch.degraded, unflipped.degraded, strict=True)]
    mirrored = [
        torch.equal(a.flip(-1), b) for a, b in zip(batch.degraded, unflipped.degraded, strict=True)
    ]
    assert all(a or b for a, b in zip(same, mirrored, strict=True))
    assert 10 < sum(mirrored) < 54


def test_a_batch_is_a_function_of_its_step_and_of_nothing_else(layout: Layout) -> None:
    first, second = maker(layout), maker(layout, cache=0)
    second.batch(7)
    for name in ("degraded", "clean", "noise", "t", "instruction"):
        assert torch.equal(getattr(first.batch(3), name), getattr(second.batch(3), name))
    assert not torch.equal(first.batch(3).noise, first.batch(4).noise)


def test_processes_share_a_batch_without_overlap(layout: Layout) -> None:
    made = maker(layout)
    whole = made.batch(2)
    parts = [made.batch(2, rank, 2) for rank in range(2)]
    assert torch.equal(parts[0].noise, whole.noise[0::2])
    assert torch.equal(parts[1].noise, whole.noise[1::2])


def test_instruction_dropout_takes_its_share(layout: Layout) -> None:
    stage = STAGE.model_copy(update={"batch": 200, "instruction_dropout": 0.25})
    share = (maker(layout, stage).batch(0).instruction == NO_INSTRUCTION).float().mean()
    assert 0.15 < share < 0.35
    assert (maker(layout).batch(0).instruction != NO_INSTRUCTION).all()


def test_web_style_touches_its_share_of_degraded_sides_only(layout: Layout) -> None:
    stage = STAGE.model_copy(update={"batch": 200, "web_style": 0.5})
    plain = maker(layout, stage).batch(0)
    styled = maker(layout, stage, web_style=lambda image, rng: 255 - image).batch(0)
    changed = [not torch.equal(a, b) for a, b in zip(plain.degraded, styled.degraded, strict=True)]
    assert 70 < sum(changed) < 130
    assert torch.equal(plain.clean, styled.clean)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_prefetching_keeps_the_order_and_ends(workers: int) -> None:
    assert list(prefetch(lambda step: step * step, 3, 20, workers)) == [s * s for s in range(3, 20)]


def test_prefetching_passes_errors_on() -> None:
    def fail(step: int) -> int:
        if step == 5:
            raise UserError("broken", "mend it")
        return step

    batches = prefetch(fail, 0, 9, 2)
    assert list(itertools.islice(batches, 5)) == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match="broken"):
        next(batches)


def test_the_cache_stays_within_its_bound(layout: Layout) -> None:
    bound = 3 * 80 * 96 * 3
    made = maker(layout, cache=bound)
    made.batch(0)
    kept = made.images._kept
    assert sum(image.nbytes for image in kept.values()) <= bound
    assert len(kept) == 3


def test_a_missing_image_is_named(layout: Layout, tmp_path: Path) -> None:
    pairs = read_pairs(layout.dataset)["train"]
    with pytest.raises(UserError, match=r"No shard holds image .*dvc checkout"):
        PairImages(ShardStore(tmp_path), 0).check(pairs)


def test_sides_of_different_size_are_refused(layout: Layout, tmp_path: Path) -> None:
    other = Layout(tmp_path)
    make_dataset(other, per_task=1, seed=9, size=(40, 40))
    small = read_pairs(other.dataset)["train"][0]
    large = read_pairs(layout.dataset)["train"][0]
    images = PairImages(ShardStore(layout.raw, layout.synthetic, other.raw), 0)
    mixed = Pair("p", large.degraded_id, small.clean_id, large.degradation, "synthetic")
    with pytest.raises(UserError, match="differ in size: 96 x 80 and 40 x 40"):
        images.get(mixed)


def test_fresh_samples_are_degraded_anew_and_nothing_else_changes(layout: Layout) -> None:
    stage = STAGE.model_copy(update={"fresh": 1.0, "shapes": "square", "batch": 18})
    images = PairImages(ShardStore(layout.raw, layout.synthetic), 10**9)
    pairs = read_pairs(layout.dataset)["train"]
    anew = fresh(stage, pairs, images)
    assert anew is not None
    made = BatchMaker(Draws(pairs, 1, 1, 0), images, stage, fresh=anew)
    new, again = made.batch(0), made.batch(0)
    old = BatchMaker(Draws(pairs, 1, 1, 0), images, stage).batch(0)
    for name in ("clean", "noise", "t", "instruction"):
        assert torch.equal(getattr(new, name), getattr(old, name)), name
    assert torch.equal(new.degraded, again.degraded)
    synthetic = [pair.origin == "synthetic" for pair in new.pairs]
    assert 0 < sum(synthetic) < len(synthetic)
    changed = [not torch.equal(a, b) for a, b in zip(new.degraded, old.degraded, strict=True)]
    assert changed == synthetic
    assert new.styled.tolist() == synthetic  # so no cache takes them for what comes again
    assert not old.styled.any()
    number = synthetic.index(True)
    rng = np.random.default_rng((stage.seed, 2, number))
    rng.random()
    pair = new.pairs[number]
    whole = images.image(pair.clean_id)
    severity = float(rng.uniform(1.0, 4.5))
    expected = load_degrader(pair.degradation).degrade(whole, severity, rng)
    sides = made.fit(expected, whole, (0, 0))
    flipped = np.random.default_rng((stage.seed, 1, number)).random(3)[2] < 0.5
    shown = sides[0][:, ::-1] if flipped else sides[0]
    assert torch.equal(new.degraded[number], to_tensor(np.ascontiguousarray(shown)))
