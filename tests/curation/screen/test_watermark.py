"""The watermark detector on photos that a script writes over."""

import numpy as np
from skimage import data

from curation.screen.marking import mark
from curation.screen.watermark import watermark_probability


def test_writing_raises_the_probability() -> None:
    photos = [data.coffee(), data.chelsea(), data.astronaut()]
    rng = np.random.default_rng(3)
    plain = [watermark_probability(photo) for photo in photos]
    marked = [watermark_probability(mark(photo, rng).image) for photo in photos * 8]
    assert max(plain) < 0.9
    assert np.mean(np.array(marked) > 0.9) > 0.25


def test_small_and_plain_images_have_none() -> None:
    assert watermark_probability(np.zeros((20, 500, 3), np.uint8)) == 0.0
    assert watermark_probability(np.full((300, 500, 3), 200, np.uint8)) == 0.0


def test_the_script_marks_the_same_for_the_same_seed() -> None:
    first, second = (mark(data.coffee(), np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert first.mask.any()
    changed = (first.image != data.coffee()).any(axis=2)
    assert changed[first.mask].mean() > 0.9
