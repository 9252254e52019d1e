"""The tensor path against the NumPy path: the same draws, and pixels that agree."""

import cv2
import numpy as np
import pytest
import torch

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from catalog.settings.degraders import DegraderRanges, NoiseRanges
from networks.degraders import load_degrader
from networks.degraders.imaging import jpeg, resize
from networks.degraders.tensors import TensorDegrader, TensorWebStyle, operators, to_levels
from networks.degraders.tensors.jpeg import jpeg as tensor_jpeg
from networks.degraders.tensors.operators import upload
from networks.degraders.web_style import WebStyle

CPU = torch.device("cpu")

AGREEMENT = {
    "blur": 60,
    "moire": 50,
    "low-light": 42,
    "noise": 39,
    "flare": 60,
    "reflection": 60,
    "haze": 60,
    "rain": 50,
}
"""Least PSNR (dB) between the two paths with the same noise. Low-light and noise end in a JPEG,
whose coefficients now and then round the other way. Chains of encodings agree less, see below."""


def picture(height: int = 150, width: int = 171) -> Rgb:
    """A part of a photo that scikit-image ships."""
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[20 : 20 + height, 120 : 120 + width])


def layers() -> list[Rgb]:
    """Photos that glass may mirror."""
    from skimage import data

    return [data.coffee()[:200, :300], data.chelsea()[:180, :250]]


def psnr(first: Rgb, second: Rgb) -> float:
    """Decibels."""
    error = float(np.mean((first.astype(float) - second) ** 2))
    return float(10 * np.log10(255**2 / max(error, 1e-4)))


GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, GPU])])
@pytest.mark.parametrize("name", AGREEMENT)
def test_both_paths_draw_the_same_and_their_pixels_agree(name: str, device: str) -> None:
    degrader = load_degrader(name, layers=layers())
    tensors = TensorDegrader(degrader, device, shared_noise=True)
    for seed in range(9):
        severity = 1 + seed / 2
        rng, other = np.random.default_rng(seed), np.random.default_rng(seed)
        plain, drawn = degrader.degrade_with_parameters(picture(), severity, rng)
        made, drawn_again = tensors.degrade_with_parameters(picture(), severity, other)
        assert drawn == drawn_again
        assert psnr(plain, made) > AGREEMENT[name], (seed, drawn)
        assert psnr(picture(), made) < psnr(plain, made), "nothing was done"


def test_chains_of_encodings_agree_in_how_far_they_move_the_image() -> None:
    """A coefficient that rounds the other way in one encoding moves the ones after it."""
    degrader = load_degrader("compression")
    tensors = TensorDegrader(degrader, "cpu", shared_noise=True)
    moved = []
    for seed in range(10):
        plain = degrader.degrade(picture(), 2.0, np.random.default_rng(seed))
        made = tensors.degrade(picture(), 2.0, np.random.default_rng(seed))
        assert psnr(plain, made) > 28
        moved.append((psnr(picture(), plain), psnr(picture(), made)))
    assert np.abs(np.subtract(*np.array(moved).T)).max() < 0.3


@pytest.mark.parametrize("quality", [5, 30, 60, 95])
@pytest.mark.parametrize("subsample", [True, False])
@pytest.mark.parametrize("size", [(64, 80), (67, 85)])
def test_the_jpeg_of_tensors_is_libjpeg_s(
    quality: int, subsample: bool, size: tuple[int, int]
) -> None:
    image = picture(*size)
    made = to_levels(tensor_jpeg(upload(image, CPU) / 255, quality, subsample))
    assert psnr(jpeg(image, quality, subsample), made) > 40


def test_the_web_style_chain_agrees_but_for_its_encodings() -> None:
    chain = WebStyle()
    tensors = TensorWebStyle(chain, "cpu", shared_noise=True)
    for seed in range(6):
        plain = chain.augment(picture(), np.random.default_rng(seed))
        made = tensors.augment(picture(), np.random.default_rng(seed))
        assert psnr(plain, made) > 33


def test_noise_of_the_device_has_the_same_strength_and_grain_but_other_values() -> None:
    flat = np.full((160, 160, 3), 120, np.uint8)
    for kind in ("sensor", "gaussian", "grain"):
        ranges = DegraderRanges(noise=NoiseRanges(weights={kind: 1.0}, jpeg=(96.0, 96.0)))
        degrader = load_degrader("noise", ranges)
        own = TensorDegrader(degrader, "cpu").degrade(flat, 2.5, np.random.default_rng(1))
        again = TensorDegrader(degrader, "cpu").degrade(flat, 2.5, np.random.default_rng(1))
        plain = degrader.degrade(flat, 2.5, np.random.default_rng(1))
        assert own.tobytes() == again.tobytes()
        assert not np.array_equal(own, plain)
        assert own.std() == pytest.approx(plain.std(), rel=0.05)
        assert neighbours(own) == pytest.approx(neighbours(plain), abs=0.05)


def neighbours(image: Rgb) -> float:
    """Correlation of neighbouring pixels."""
    values = image.astype(float) - image.mean()
    return float((values[:, 1:] * values[:, :-1]).mean() / values.var())


def test_a_batch_is_its_images_one_by_one() -> None:
    tensors = TensorDegrader(load_degrader("rain"), "cpu")
    images = [picture(64, 70), picture(64, 70)[::-1].copy()]
    batch = torch.stack([upload(image, CPU) / 255 for image in images])
    made, drawn = tensors.degrade_batch(
        batch, [1.5, 4.0], [np.random.default_rng(3), np.random.default_rng(4)], threads=2
    )
    assert made.shape == batch.shape
    assert [parameters["severity"] for parameters in drawn] == [1.5, 4.0]
    for index, (severity, seed) in enumerate(((1.5, 3), (4.0, 4))):
        alone = tensors.degrade(images[index], severity, np.random.default_rng(seed))
        assert np.array_equal(to_levels(made[index]), alone)


@pytest.mark.parametrize("name", list(Degradation))
def test_the_smallest_image_and_odd_sides_are_taken(name: Degradation) -> None:
    tensors = TensorDegrader(load_degrader(name), "cpu")
    for seed, size in enumerate([(32, 32), (33, 47)]):
        made = tensors.degrade(picture(*size), 1.0, np.random.default_rng(seed))
        assert made.shape == (*size, 3)


def test_what_is_made_on_tensors_has_an_identity_of_its_own() -> None:
    degrader = load_degrader("haze")
    assert TensorDegrader(degrader, "cpu").identity != degrader.identity
    with pytest.raises(UserError, match="no device nonsense"):
        TensorDegrader(degrader, "nonsense")


@pytest.mark.parametrize("old", [16, 23, 49, 60])
def test_the_nearest_pixels_are_opencv_s(old: int) -> None:
    image = np.random.default_rng(old).integers(0, 256, (old, old + 3, 3), np.uint8)
    for new in (60, 64, 97):
        plain = resize(image, new, new + 5, cv2.INTER_NEAREST_EXACT)
        made = operators.resize(upload(image, CPU) / 255, new, new + 5, "nearest")
        assert np.array_equal(to_levels(made), plain)


def test_a_network_can_learn_from_a_batch_made_here() -> None:
    """Also in a training step under autocast, whose lower precision is not for the degraders."""
    photo = (upload(picture(64, 70), CPU) / 255)[None]
    degrader, chain = TensorDegrader(load_degrader("noise"), "cpu"), TensorWebStyle(WebStyle())
    rng = np.random.default_rng
    plain = (
        degrader.degrade_batch(photo, [2.0], [rng(1)])[0],
        chain.augment_batch(photo, [rng(1)])[0],
    )
    with torch.autocast("cpu", torch.bfloat16):
        degraded, _ = degrader.degrade_batch(photo, [2.0], [rng(1)])
        web, _ = chain.augment_batch(photo, [rng(1)])
    for batch, usual in zip((degraded, web), plain, strict=True):
        assert torch.equal(batch, usual)
        net = torch.nn.Conv2d(3, 1, 3)
        net(batch).mean().backward()
        assert net.weight.grad is not None
