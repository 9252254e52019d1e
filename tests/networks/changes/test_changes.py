"""The detector of added and removed content: what it finds, and what it must not mind."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from networks.changes.detector import PLACE, ChangeDetector, load_detector
from networks.changes.maps import CHANNELS, change_maps
from networks.degraders import load_degrader

PHOTO = np.ascontiguousarray(data.astronaut()[:320, :480])


def with_object(photo: Rgb) -> Rgb:
    """A cat's eye in a disc of 50 px radius."""
    other = photo.copy()
    other[60:160, 310:410] = data.chelsea()[70:170, 100:200]
    mask = np.zeros(photo.shape[:2], np.float32)
    cv2.circle(mask, (360, 110), 50, 1.0, -1)
    soft = cv2.GaussianBlur(mask, (0, 0), 1.2)[..., None]
    return (photo * (1 - soft) + other * soft).astype(np.uint8)


@pytest.mark.parametrize("task", list(Degradation))
def test_an_object_on_one_side_is_found_and_a_sound_pair_is_not(task: Degradation) -> None:
    def degrade(photo: Rgb) -> Rgb:
        rng = np.random.default_rng(2)
        return load_degrader(task, layers=[data.coffee()]).degrade(photo, 2.2, rng)

    detector, other = load_detector(), with_object(PHOTO)
    assert detector.probability(degrade(PHOTO), PHOTO, task) < 0.5
    assert detector.probability(degrade(PHOTO), other, task) > 0.5
    assert detector.probability(degrade(other), PHOTO, task) > 0.5


def test_it_says_where() -> None:
    where = load_detector().where(PHOTO, with_object(PHOTO), Degradation.NOISE)
    assert where.shape == PHOTO.shape[:2]
    inside = np.zeros(PHOTO.shape[:2], np.uint8)
    cv2.circle(inside, (360, 110), 40, 1, -1)
    assert where[inside > 0].mean() > 10 * where[cv2.dilate(inside, np.ones((61, 61))) == 0].mean()


def test_settings_check_does_not_depend_on_light_and_any_size_is_taken() -> None:
    darker = (PHOTO * 0.6 + 20).astype(np.uint8)
    match = change_maps(darker, PHOTO)[0]
    assert np.median(match) > 0.9
    for shape in ((1, 1), (32, 400), (700, 40)):
        image = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
        maps = change_maps(image, image)
        assert maps.shape[0] == CHANNELS and np.isfinite(maps).all()
        assert 0 <= load_detector().probability(image, image, Degradation.RAIN) <= 1


def test_other_weights_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "weights.safetensors"
    place.write_bytes(PLACE.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="have the SHA-256"):
        ChangeDetector(place)
    with pytest.raises(UserError, match="cannot be read"):
        ChangeDetector(tmp_path / "none")
