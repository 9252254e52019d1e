"""GMSD against its definition."""

import numpy as np
import pytest
from scipy.ndimage import convolve
from skimage import data

from catalog.errors import UserError
from networks.consistency import load_consistency


def by_definition(first: np.ndarray, second: np.ndarray) -> float:
    """Xue et al. 2014, equations 1 to 6, for images of even sides; borders count as black."""
    kernel = np.array([[1, 0, -1]] * 3) / 3
    found = []
    for image in (first, second):
        luma = image.astype(float) @ [0.299, 0.587, 0.114]
        half = luma.reshape(luma.shape[0] // 2, 2, luma.shape[1] // 2, 2).mean((1, 3))
        found.append(
            np.hypot(
                convolve(half, kernel, mode="constant"), convolve(half, kernel.T, mode="constant")
            )
        )
    one, two = found
    similarity = (2 * one * two + 170) / (one**2 + two**2 + 170)
    return float(similarity.std())


def test_it_is_the_deviation_of_the_published_formula() -> None:
    first = data.astronaut()[:256, :192]
    noise = np.random.default_rng(0).normal(0, 20, first.shape)
    second = np.clip(first + noise, 0, 255).astype(np.uint8)
    measure = load_consistency("gmsd")
    assert measure.distance(first, second) == pytest.approx(by_definition(first, second), abs=1e-4)
    assert measure.distance(first, first.copy()) == 0.0
    assert str(measure.identity).startswith("gmsd/")


def test_a_repainted_part_counts_more_than_a_lifted_exposure() -> None:
    photo = data.astronaut()
    brighter = np.clip(photo.astype(int) + 12, 0, 255).astype(np.uint8)
    repainted = photo.copy()
    repainted[100:300, 100:300] = photo[300:500, 300:500]
    measure = load_consistency("gmsd")
    assert measure.distance(photo, repainted) > 3 * measure.distance(photo, brighter)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (7, 5), (6, 6)])
def test_every_size_has_a_distance(size: tuple[int, int]) -> None:
    small = data.astronaut()[: size[0], : size[1]]
    assert 0.0 <= load_consistency("gmsd").distance(small, 255 - small) < 1.0


def test_unequal_sizes_are_refused_in_words() -> None:
    photo = data.astronaut()
    with pytest.raises(UserError, match="GMSD compares images of one size"):
        load_consistency("gmsd").distance(photo, photo[:-1])
