"""The MS-SSIM distance."""

import numpy as np
import pytest
from skimage import data

from catalog.errors import UserError
from networks.consistency import load_consistency
from networks.interfaces import Consistency


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return data.astronaut()


def _noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_distance_is_zero_for_the_same_and_grows_with_the_change(photo: np.ndarray) -> None:
    measure = load_consistency("ms-ssim")
    assert isinstance(measure, Consistency)
    distances = [measure.distance(photo, _noisy(photo, sigma)) for sigma in (0, 5, 20, 60)]
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert 0.1 < distances[-1] < 0.6
    assert measure.distance(photo, photo[::-1]) > 0.5


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (40, 40), (160, 161), (161, 200)])
def test_every_size_has_a_distance(photo: np.ndarray, size: tuple[int, int]) -> None:
    small = photo[: size[0], : size[1]]
    distance = load_consistency("ms-ssim").distance(small, 255 - small)
    assert 0.0 < distance <= 1.0


def test_mirrored_small_images_agree_with_large_ones(photo: np.ndarray) -> None:
    measure = load_consistency("ms-ssim")
    whole = measure.distance(photo, _noisy(photo, 20))
    part = np.mean(
        [
            measure.distance(
                photo[y : y + 96, x : x + 96], _noisy(photo, 20)[y : y + 96, x : x + 96]
            )
            for y in range(0, 416, 96)
            for x in range(0, 416, 96)
        ]
    )
    assert abs(whole - part) < 0.25 * whole


def test_symmetric(photo: np.ndarray) -> None:
    measure = load_consistency("ms-ssim")
    other = _noisy(photo, 30)
    assert measure.distance(photo, other) == pytest.approx(measure.distance(other, photo), abs=1e-6)


def test_other_sizes_and_names_are_refused_in_words(photo: np.ndarray) -> None:
    with pytest.raises(UserError, match="512 x 512 and 511 x 512"):
        load_consistency("ms-ssim").distance(photo, photo[:, :-1])
    with pytest.raises(UserError, match="Did you mean ms-ssim"):
        load_consistency("msssim")
