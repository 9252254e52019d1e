"""Classical restorers on photos degraded by known amounts, and the choice by name."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from catalog.degradations import Degradation
from catalog.errors import UserError
from networks.interfaces import Restorer
from networks.restorers import load_restorer
from networks.restorers.classical.deblock import LONGEST, estimate_quality, reencode

SUPPORTED = {"blur", "compression", "low-light", "noise", "haze"}


def _degraded(photo: np.ndarray, degradation: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = photo.astype(np.float32)
    if degradation == "blur":
        return cv2.GaussianBlur(photo, (0, 0), 2)
    if degradation == "compression":
        return reencode(photo, 15)
    if degradation == "noise":
        return np.clip(values + rng.normal(0, 25, values.shape), 0, 255).astype(np.uint8)
    if degradation == "low-light":
        dark = 255 * (values / 255 * 0.3) ** 1.3 + rng.normal(0, 2, values.shape)
        return np.clip(dark, 0, 255).astype(np.uint8)
    transmission = np.exp(-1.2 * np.linspace(1, 0.3, len(values)))[:, None, None]
    return (values * transmission + 220 * (1 - transmission)).astype(np.uint8)


@pytest.mark.parametrize(
    ("degradation", "gain"),
    [("blur", 1.5), ("compression", 0.4), ("noise", 5), ("low-light", 5), ("haze", 5)],
)
@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_classical_restoration_comes_nearer_to_the_clean_photo(
    degradation: str, gain: float, name: str
) -> None:
    photo = getattr(data, name)()
    degraded = _degraded(photo, degradation)
    restored = load_restorer("classical").restore([degraded], Degradation(degradation))[0]
    before = peak_signal_noise_ratio(photo, degraded)
    assert peak_signal_noise_ratio(photo, restored) - before >= gain


def test_supports_exactly_what_has_a_method() -> None:
    classical, identity = load_restorer("classical"), load_restorer("identity")
    assert isinstance(classical, Restorer)
    assert isinstance(identity, Restorer)
    assert {d for d in Degradation if classical.supports(d)} == SUPPORTED
    assert not any(identity.supports(d) for d in Degradation)


@pytest.mark.parametrize("turned", [False, True])
def test_an_image_longer_than_jpeg_can_be_is_coded_in_parts(turned: bool) -> None:
    strip = np.tile(data.astronaut()[:16], (1, 260, 1))[:, : LONGEST * 2 + 40]
    image = strip.transpose(1, 0, 2) if turned else strip
    coded = reencode(image, 15)
    assert coded.shape == image.shape
    restored = load_restorer("classical").restore([coded], Degradation.COMPRESSION)[0]
    assert peak_signal_noise_ratio(image, restored) > peak_signal_noise_ratio(image, coded)


@pytest.mark.parametrize("name", ["classical", "identity"])
def test_no_image_is_too_small_or_too_plain(name: str) -> None:
    rng = np.random.default_rng(0)
    restorer = load_restorer(name)
    for size in [(1, 1), (5, 40), (16, 16), (17, 301)]:
        noise = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        images = [noise, np.zeros_like(noise), np.full_like(noise, 255)]
        for degradation in Degradation:
            restored = restorer.restore(images, degradation)
            assert [image.shape for image in restored] == [(*size, 3)] * 3
            assert all(image.dtype == np.uint8 for image in restored)


def test_what_needs_nothing_is_hardly_changed() -> None:
    photo = data.astronaut()
    for degradation in ("low-light", "blur", "noise"):
        restored = load_restorer("classical").restore([photo], Degradation(degradation))[0]
        assert peak_signal_noise_ratio(photo, restored) > 30 or np.array_equal(photo, restored)


@pytest.mark.parametrize("quality", [15, 30, 60])
def test_jpeg_quality_is_read_from_pixels(quality: int) -> None:
    assert estimate_quality(reencode(data.coffee(), quality)) == quality


def test_unknown_names_and_folders_that_are_no_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean classical"):
        load_restorer("clasical")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"no model\.safetensors"):
        load_restorer(str(tmp_path))
