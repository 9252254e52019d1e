"""The second look: what grain hides is found, and what has no grain stays as it is."""

import cv2
import numpy as np
import pytest
from skimage import data

from catalog.degradations import Degradation
from networks.degraders import load_degrader
from networks.judges.proxy import head
from networks.judges.proxy.measures.grain import flat_noise
from networks.judges.proxy.network import load_network, looked_at_again, severities
from networks.judges.proxy.second_look import GRAIN_FREE, LARGER, second_look
from networks.judges.proxy.views import coarse_of, look

LUMA = float(np.hypot(np.hypot(0.299, 0.587), 0.114))
"""Sigma of the luma of noise whose channels have a sigma of 1 each (BT.601)."""


def grain(shape: tuple[int, ...], sigma: float) -> np.ndarray:
    return np.random.default_rng(2).normal(0, sigma, shape)


def test_the_noise_of_flat_places_is_measured_in_levels() -> None:
    grey = np.full((320, 480, 3), 0.5, np.float32)
    noisy = (grey + grain(grey.shape, 3) / 255).astype(np.float32)
    assert flat_noise(noisy) == pytest.approx(3 * LUMA, rel=0.15)
    noisy[:200] += np.random.default_rng(3).normal(0, 0.1, noisy[:200].shape).astype(np.float32)
    assert flat_noise(noisy) == pytest.approx(3 * LUMA, rel=0.15)  # textured places do not count


def test_what_has_no_grain_is_enlarged_as_it_is() -> None:
    photo = cv2.GaussianBlur(data.coffee(), (0, 0), 1.0)
    view = look(photo).coarse
    assert flat_noise(view) < GRAIN_FREE
    larger = cv2.resize(coarse_of(photo), None, fx=LARGER, fy=LARGER, interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(second_look(view), larger.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("sigma", [3, 6])
def test_grain_is_taken_away(sigma: float) -> None:
    photo = cv2.GaussianBlur(data.astronaut(), (0, 0), 1.0)
    grainy = look(np.clip(photo + grain(photo.shape, sigma), 0, 255).astype(np.uint8)).coarse
    assert flat_noise(second_look(grainy)) < 0.25 * flat_noise(grainy)


@pytest.mark.parametrize("size", [(32, 32), (33, 1600), (1600, 50)])
def test_views_of_any_shape_have_a_second_look(size: tuple[int, int]) -> None:
    view = look(grain((*size, 3), 40).clip(0, 255).astype(np.uint8)).coarse
    found = second_look(view)
    assert found.shape[2] == 3
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1


def test_grain_hides_a_reflection_less() -> None:
    net = load_network(head.hashes()["network"])
    degrader = load_degrader("reflection", layers=[data.coffee()])
    strong = degrader.degrade(data.astronaut(), 1.8, np.random.default_rng(1))
    grainy = np.clip(strong + grain(strong.shape, 3), 0, 255).astype(np.uint8)
    views = look(grainy)
    first = severities(net, views)[Degradation.REFLECTION]
    assert looked_at_again(net, views, Degradation.REFLECTION, first) < first - 0.3
