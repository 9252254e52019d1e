"""The training of the embedder: known pictures, the same batches, a loss that orders vectors."""

import hashlib
import json
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from catalog.errors import UserError
from networks.embedders.fit import pictures, views
from networks.embedders.fit.train import Batches, Plan, contrastive, learning_rate
from networks.fitting.packages import unpack

SEED = 20260326


def _scene(seed: int, side: int = 400) -> Image.Image:
    """A picture with detail at all scales, another for each seed."""
    rng = np.random.default_rng((SEED, seed))
    layers = [
        np.kron(rng.random((side // cell, side // cell, 3)), np.ones((cell, cell, 1)))
        for cell in (100, 20, 4)
    ]
    return Image.fromarray((sum(layers) / 3 * 255).astype(np.uint8))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real .deb of four pictures (one twice, one too small) and the list that names it."""
    root = tmp_path_factory.mktemp("package")
    tree = root / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: scenes\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.com>\n"
        "Description: scenes\n"
    )
    (tree / "pictures").mkdir()
    for seed in range(3):
        _scene(seed).save(tree / f"pictures/{seed}.png")
    _scene(0).resize((300, 300)).save(tree / "pictures/again.jpg", quality=70)
    _scene(9).resize((90, 90)).save(tree / "pictures/small.png")
    subprocess.run(
        ["dpkg-deb", "--build", tree, root / "scenes_1_all.deb"], check=True, capture_output=True
    )
    digest = hashlib.sha256((root / "scenes_1_all.deb").read_bytes()).hexdigest()
    entry = {"package": "scenes", "version": "1", "sha256": digest, "pictures": "pictures/*"}
    (root / "packages.json").write_text(json.dumps([entry]))
    return root


def test_pictures_come_from_the_listed_package_and_no_two_are_alike(
    package: Path, tmp_path: Path
) -> None:
    unpack(package, tmp_path, package / "packages.json")
    found = [name for name, _ in pictures.pictures(tmp_path, package / "packages.json")]
    assert len(found) == 3
    assert "scenes/pictures/small.png" not in found
    assert ("scenes/pictures/0.png" in found) != ("scenes/pictures/again.jpg" in found)


def test_another_package_of_the_name_is_refused(package: Path, tmp_path: Path) -> None:
    listed = json.loads((package / "packages.json").read_text())
    listed[0]["sha256"] = "0" * 64
    (tmp_path / "packages.json").write_text(json.dumps(listed))
    with pytest.raises(UserError, match="lacks scenes 1"):
        unpack(package, tmp_path, tmp_path / "packages.json")
    assert not (tmp_path / "scenes").exists()


def test_crops_of_one_picture_overlap_by_less_than_half() -> None:
    rng = np.random.default_rng(SEED)
    whole, *crops = list(pictures.cut(_scene(1, 800), rng))
    assert whole.shape == (pictures.SIDE, pictures.SIDE, 3)
    assert len(crops) >= 2
    assert all(crop.shape == whole.shape for crop in crops)
    assert pictures._overlap((0, 0, 10, 10), (5, 0, 15, 10)) == 0.5


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("squares") / "squares"
    folder.mkdir()
    clean = np.stack([np.asarray(_scene(i).resize((176, 176))) for i in range(12)])
    arrays = {
        "clean": clean,
        "degraded": np.stack([clean // 4, clean // 2], axis=1),
        "label": np.tile(np.array([3, 5]), (12, 1)),
        "severity": np.tile(np.array([1.0, 4.0], np.float32), (12, 1)),
        "picture": np.arange(12) // 2,
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def test_a_batch_depends_on_its_seed_and_step_alone(squares: Path) -> None:
    plan = Plan(seed=3, steps=4, pairs=4)
    whole = list(Batches(squares, plan, 0))
    resumed = list(Batches(squares, plan, 2))
    assert len(whole) == 4
    for (images, labels), (again, same) in zip(whole[2:], resumed, strict=True):
        assert torch.equal(images, again)
        assert torch.equal(labels, same)
    assert not torch.equal(whole[0][0], whole[1][0])
    other = next(iter(Batches(squares, Plan(seed=4, steps=4, pairs=4), 0)))
    assert not torch.equal(whole[0][0], other[0])


def test_views_are_labelled_by_what_was_done_to_them(squares: Path) -> None:
    loaded = pictures.load(squares)
    rng = np.random.default_rng(SEED)
    drawn = [views.view(loaded, i % 12, rng) for i in range(300)]
    assert all(v.shape == (views.SIDE, views.SIDE, 3) and v.dtype == np.uint8 for v, _ in drawn)
    labels = {label for _, label in drawn}
    assert labels == {3, views.CLEAN, -1}, "severity 4 is too mild to be an example of its task"
    dark = np.mean([v.mean() for v, label in drawn if label == 3])
    clean = np.mean([v.mean() for v, label in drawn if label == views.CLEAN])
    assert dark < 0.6 * clean


def test_the_loss_is_least_when_partners_agree() -> None:
    torch.manual_seed(SEED)
    vectors = torch.nn.functional.normalize(torch.randn(6, 32), dim=-1)
    together = contrastive(torch.cat([vectors, vectors]), torch.tensor(20.0))
    swapped = contrastive(torch.cat([vectors, vectors.roll(1, 0)]), torch.tensor(20.0))
    assert together < 0.1 < swapped
    chance = contrastive(torch.ones(8, 4) / 2, torch.tensor(1.0))
    assert chance == pytest.approx(np.log(7), abs=1e-5)


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    plan = Plan(steps=100, warmup=10, learning_rate=2.0)
    rates = [learning_rate(plan, step) for step in range(1, 101)]
    assert rates[4] == pytest.approx(1.0)
    assert max(rates) == rates[9] == pytest.approx(2.0)
    assert rates[-1] == pytest.approx(0.0, abs=1e-9)
    assert all(a >= b for a, b in pairwise(rates[9:]))
