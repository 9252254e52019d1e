"""The watermark detector on photos that a script writes over with fonts it was not trained on."""

from pathlib import Path

import numpy as np
import pytest
from skimage import data

from catalog.errors import UserError
from catalog.settings.screen import Screen
from curation.screen.marking import STYLES, mark
from networks.watermark.detector import PLACE, MarkDetector, load_detector

LIMIT = Screen.model_validate({}).max_watermark
PHOTOS = [data.coffee(), data.chelsea(), data.astronaut()]


def test_writing_is_found_and_photos_are_left() -> None:
    rng = np.random.default_rng(3)
    detector = load_detector()
    assert max(detector.probability(photo) for photo in PHOTOS) < LIMIT
    marked = [detector.probability(mark(photo, rng).image) for photo in PHOTOS * 4]
    assert np.mean(np.array(marked) > LIMIT) > 0.3


@pytest.mark.parametrize("style", STYLES)
def test_every_mark_of_the_script_can_be_seen(style: str) -> None:
    photo = data.chelsea()
    made = [mark(photo, np.random.default_rng(seed)) for seed in range(60)]
    for one in [one for one in made if one.style == style]:
        change = np.abs(one.image.astype(int) - photo).mean(axis=2)
        assert change[one.mask].mean() > 8
        assert one.mask.any()


def test_the_map_shows_where() -> None:
    photo = data.chelsea()
    over = photo.copy()
    written = mark(photo, np.random.default_rng(11))
    over[:] = written.image
    likely = load_detector().find(over).where(over.shape)
    assert likely.shape == photo.shape[:2]
    assert likely[written.mask].mean() > 3 * likely[~written.mask].mean()


@pytest.mark.parametrize("size", [(1, 1), (20, 500), (32, 33), (33, 1900)])
def test_small_narrow_and_plain_images_have_finite_answers(size: tuple[int, int]) -> None:
    value = load_detector().probability(np.full((*size, 3), 200, np.uint8))
    assert 0 <= value < LIMIT
    assert min(size) >= 32 or value == 0.0


def test_weights_of_another_hash_are_refused(tmp_path: Path) -> None:
    changed = tmp_path / "marks.safetensors"
    data_ = bytearray(PLACE.read_bytes())
    data_[-1] ^= 1
    changed.write_bytes(data_)
    with pytest.raises(UserError, match="have the SHA-256"):
        MarkDetector(changed)
    with pytest.raises(UserError, match="cannot be read"):
        MarkDetector(tmp_path / "nothing.safetensors")


def test_the_script_marks_the_same_for_the_same_seed() -> None:
    first, second = (mark(data.coffee(), np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert first.mask.any()
    changed = (first.image != data.coffee()).any(axis=2)
    assert changed[first.mask].mean() > 0.9
