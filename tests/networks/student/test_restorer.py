"""The student as a Restorer, and its folder."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from catalog.degradations import Degradation
from catalog.errors import UserError
from networks.interfaces import Identity, Restorer
from networks.student import load_student
from networks.student.files import read_student, save_student
from networks.student.restorer import StudentRestorer
from networks.tiling import levelled, ramp, starts
from tests.networks.student.test_model import build

ROOT = Path(__file__).parents[3]
IMAGE = np.random.default_rng(0).integers(0, 255, (70, 45, 3), np.uint8)


def restorer(**changes: object) -> StudentRestorer:
    return StudentRestorer(build(**changes), Identity("test", "1"), "cpu")


def test_a_student_is_loaded_without_the_libraries_of_large_models(tmp_path: Path) -> None:
    save_student(build(), tmp_path)
    code = (
        "import sys; from networks.restorers import load_restorer; load_restorer(sys.argv[1]); "
        "print([name for name in ('diffusers', 'transformers', 'peft') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@given(st.integers(1, 300), st.sampled_from([(32, 8), (64, 0), (64, 32)]))
@settings(deadline=None)
def test_tiles_cover_the_length_and_overlap(length: int, shape: tuple[int, int]) -> None:
    tile, overlap = shape
    offsets = starts(length, tile, overlap)
    assert offsets[0] == 0
    assert max(offsets[-1] + tile, length) == max(length, tile)
    for one, two in pairwise(offsets):
        assert one < two <= one + tile - overlap


def test_weights_of_a_tile_are_positive_and_full_in_the_middle() -> None:
    weight = ramp(32, 8)
    assert weight.min() > 0
    assert (weight[8:24] == 1).all()
    assert torch.equal(weight, weight.flip(0))


@given(st.integers(1, 70), st.integers(1, 45))
@settings(max_examples=15, deadline=None)
def test_any_size_keeps_its_size_and_is_deterministic(height: int, width: int) -> None:
    model = restorer()
    image = IMAGE[:height, :width]
    one, two = model.restore([image, image], Degradation.RAIN)
    assert one.shape == image.shape
    assert one.dtype == np.uint8
    assert np.array_equal(one, two)


def test_the_batch_an_image_is_in_does_not_matter() -> None:
    model = restorer()
    alone = model.restore([IMAGE], Degradation.BLUR)[0]
    together = model.restore([IMAGE[:20], IMAGE, IMAGE[5:]], Degradation.BLUR)[1]
    assert np.array_equal(alone, together)


def test_an_untrained_model_gives_the_image_back_through_tiles() -> None:
    model = build()
    assert model.refiner is not None
    torch.nn.init.zeros_(model.refiner.out.weight)
    model_restorer = StudentRestorer(model, Identity("test", "1"), "cpu")
    assert np.array_equal(model_restorer.restore([IMAGE], Degradation.HAZE)[0], IMAGE)


def test_a_folder_comes_back_the_same_with_the_hash_as_identity(tmp_path: Path) -> None:
    model = build()
    save_student(model, tmp_path)
    loaded = load_student(tmp_path)
    assert isinstance(loaded, Restorer)
    assert loaded.identity.trained
    assert len(loaded.identity.weights) == 64
    before = StudentRestorer(model, loaded.identity, "cpu").restore([IMAGE], Degradation.NOISE)
    assert np.array_equal(loaded.restore([IMAGE], Degradation.NOISE)[0], before[0])
    save_student(model, tmp_path)
    assert load_student(tmp_path).identity == loaded.identity
    with torch.no_grad():
        model.img_in.bias += 0.1
    save_student(model, tmp_path)
    other = load_student(tmp_path).identity
    assert other != loaded.identity
    # Its config.json says how it is sampled, which may be changed by hand.
    content = json.loads((tmp_path / "config.json").read_text())
    content["architecture"]["sampling_steps"] += 1
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert load_student(tmp_path).identity.weights == other.weights
    assert load_student(tmp_path).identity != other


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    save_student(build(), tmp_path)
    path = tmp_path / "model.safetensors"
    good = load_file(path)
    state = dict(good)
    del state["img_in.bias"]
    state["extra"] = torch.zeros(1)
    state["final_layer.bias"] = torch.zeros(3)
    save_file(state, path)
    with pytest.raises(UserError) as caught:
        read_student(tmp_path)
    for fault in (
        "img_in.bias is missing",
        "extra is not of this model",
        "final_layer.bias has shape [3] instead of [32]",
    ):
        assert fault in caught.value.what


def test_broken_folders_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        load_student(tmp_path)
    save_student(build(), tmp_path)
    weights = tmp_path / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="cannot be read"):
        load_student(tmp_path)
    weights.unlink()
    torch.save({}, tmp_path / "model.pt")
    with pytest.raises(UserError, match=r"model\.pt is a pickle"):
        load_student(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["architecture"]["widht"] = 3
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="did you mean width"):
        load_student(tmp_path)
    (tmp_path / "config.json").write_text('{"format": "other"}')
    with pytest.raises(UserError, match="format 'other'"):
        load_student(tmp_path)


def test_levelled_tiles_take_light_from_the_whole_and_keep_their_detail() -> None:
    generator = torch.Generator().manual_seed(0)
    detail = 0.05 * torch.randn(3, 96, 160, generator=generator)
    fall = torch.linspace(0.3, 0.7, 160).expand(3, 96, 160)
    tiles = fall + detail
    tiles[:, :, 64:] -= 0.2  # the tiles of one side came out too dark
    whole = torch.nn.functional.interpolate(fall[None], (20, 32), mode="area")[0]
    found = levelled(tiles, whole, 32)
    away = torch.cat([found[..., :48], found[..., 80:]], dim=-1)
    right = torch.cat([(fall + detail)[..., :48], (fall + detail)[..., 80:]], dim=-1)
    assert (away - right).abs().max() < 0.05
    assert torch.equal(levelled(tiles, tiles, 32), tiles)


def test_only_large_dark_images_are_levelled(monkeypatch: pytest.MonkeyPatch) -> None:
    one = restorer(tile=32, overlap=8)
    asked = [
        (IMAGE, Degradation.LOW_LIGHT),
        (IMAGE, Degradation.HAZE),
        (IMAGE[:32, :32], Degradation.LOW_LIGHT),
    ]
    found = [one.restore([image], task)[0] for image, task in asked]
    monkeypatch.setattr("networks.student.restorer.LEVELLED", frozenset())
    plain = [one.restore([image], task)[0] for image, task in asked]
    same = [np.array_equal(*pair) for pair in zip(found, plain, strict=True)]
    assert same == [False, True, True]
