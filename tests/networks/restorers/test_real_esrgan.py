"""Real-ESRGAN by ncnn: needs the extra real-esrgan."""

import numpy as np
import pytest
from skimage import data

from catalog.degradations import Degradation
from networks.restorers import load_restorer

pytest.importorskip("ncnn", reason="the extra real-esrgan is not installed")


def test_noise_goes_and_the_size_stays() -> None:
    photo = data.astronaut()[40:72, 200:241]
    rng = np.random.default_rng(0)
    noisy = np.clip(photo + rng.normal(0, 12, photo.shape), 0, 255).astype(np.uint8)
    model = load_restorer("real-esrgan")
    (restored,) = model.restore([noisy], Degradation.NOISE)
    assert restored.shape == photo.shape
    errors = [float(((image.astype(float) - photo) ** 2).mean()) for image in (noisy, restored)]
    assert errors[1] < 0.8 * errors[0]
    assert {d for d in Degradation if model.supports(d)} == {"blur", "compression", "noise"}
    (same,) = model.restore([noisy], Degradation.RAIN)
    assert np.array_equal(same, noisy)
