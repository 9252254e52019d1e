"""The maps of texture and colour, and what they tell of two versions."""

import numpy as np
import pytest

from catalog.images import decode, decode_luma
from curation.deduplicate.difference import LIMITS, clearly, difference
from curation.deduplicate.versions import version_of
from curation.structure import (
    CELLS,
    colour_map,
    colour_planes,
    texture_levels,
    texture_map,
)
from networks.degraders import load_degrader
from tests.curation.deduplicate.photos import jpeg, photos, prints_of, resize


def _kind(one: bytes, two: bytes) -> str | None:
    prints = prints_of([one, two])
    versions = version_of(prints, 0), version_of(prints, 1)
    return clearly(difference(*versions, np.eye(3)), LIMITS)


def test_texture_is_the_mean_middle_coefficient_of_each_cell() -> None:
    """A cosine of one frequency of the 8 x 8 DCT fills one coefficient of the eighteen."""
    x = np.arange(256)
    wave = 128 + 40 * np.cos(np.pi * (2 * x + 1) * 3 / 16)
    luma = np.tile(wave, (256, 1))
    luma[:128] = 128
    levels = texture_levels(texture_map(luma.astype(np.uint8)).tobytes())
    middle = sum(2 <= k + m < 6 for k in range(8) for m in range(8))
    assert levels.shape == (CELLS, CELLS)
    assert np.all(levels[:8] < 0.05)
    # The coefficient of a row is 40 * sqrt(8 / 2), and eight equal rows make it sqrt(8) times that.
    assert levels[8:] == pytest.approx(40 * 2 * np.sqrt(8) / middle, rel=0.05)


def test_texture_falls_with_quantisation_and_hardly_with_mild_encoding() -> None:
    def mean(data: bytes) -> float:
        return float(texture_levels(texture_map(decode_luma(data, 512)).tobytes()).mean())

    for photo in photos()[:4]:
        fine, mild, strong = (mean(jpeg(photo, quality)) for quality in (95, 50, 5))
        assert mild > 0.75 * fine
        assert strong < 0.75 * fine


def test_the_colour_map_holds_both_planes() -> None:
    for photo in photos()[:3]:
        planes = colour_planes(colour_map(jpeg(photo, 95)))
        height, width = photo.shape[:2]
        assert planes.shape[0] == 2
        assert max(planes.shape[1:]) == 96
        assert planes.shape[2] / planes.shape[1] == pytest.approx(width / height, rel=0.03)
    red = colour_planes(colour_map(jpeg(np.full((64, 64, 3), (200, 30, 30), np.uint8))))
    assert red[1].mean() > 180
    assert red[0].mean() < 110


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7)])
def test_images_of_any_size_have_maps(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert texture_map(pixels[:, :, 0]).shape == (CELLS, CELLS)
    assert colour_planes(colour_map(jpeg(pixels))).shape[0] == 2


@pytest.mark.parametrize("kind", ["moire", "compression", "blur"])
def test_a_degraded_version_saved_well_is_a_variant(kind: str) -> None:
    degrader = load_degrader(kind)
    found = [
        _kind(jpeg(p, 95), jpeg(degrader.degrade(p, 1.5, np.random.default_rng(n)), 92))
        for n, p in enumerate(photos()[:4])
    ]
    assert sum(one is not None for one in found) >= 3, found


def test_a_copy_scaled_up_or_down_is_no_variant_by_texture() -> None:
    for photo in photos()[:4]:
        for factor in (0.4, 2.0):
            assert _kind(jpeg(photo, 95), jpeg(resize(photo, factor), 90)) is None


def test_a_grey_copy_is_no_variant_by_colour() -> None:
    for photo in photos()[:3]:
        grey = np.repeat(photo.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
        assert _kind(jpeg(photo, 95), jpeg(grey, 92)) != "colour"
        assert decode(jpeg(grey)).shape == photo.shape
