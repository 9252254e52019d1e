"""Degradation on the fly by tensors instead of NumPy arrays."""

import cv2
import numpy as np
import pytest
from skimage import data

from catalog.settings.training import Stage
from training.augment import web_style

PHOTO = np.ascontiguousarray(data.coffee()[:96, :120])


def test_the_chain_on_a_device_does_what_the_plain_one_does() -> None:
    settings = {"web_style": 1.0, "web_style_strength": 0.3}
    plain = web_style(Stage.model_validate(settings))
    on_device = web_style(Stage.model_validate(settings | {"degrade_device": "cpu"}))
    assert plain is not None
    assert on_device is not None
    moved = []
    for seed in range(6):
        first = plain(PHOTO, np.random.default_rng(seed)).astype(float)
        second = on_device(PHOTO, np.random.default_rng(seed)).astype(float)
        assert second.shape == PHOTO.shape
        moved.append((np.abs(first - PHOTO).mean(), np.abs(second - PHOTO).mean()))
        # Only the noise is another; it goes in the mean of many pixels.
        assert np.abs(cv2.blur(first, (15, 15)) - cv2.blur(second, (15, 15))).mean() < 1.5
    before, after = np.mean(moved, axis=0)
    assert after == pytest.approx(before, rel=0.05)
