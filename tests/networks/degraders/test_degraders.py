"""The nine degraders: any size, one seed one image, severity that means something."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from catalog.settings.degraders import (
    BlurRanges,
    CompressionRanges,
    DegraderRanges,
    MoireRanges,
    WebStyleRanges,
)
from networks.degraders import load_degrader
from networks.degraders.blur import average_frames, path_kernel
from networks.degraders.web_style import WebStyle, web_style
from networks.interfaces import Degrader

ALL = list(Degradation)


def photo(height: int, width: int, name: str = "astronaut") -> Rgb:
    """A part of a photo that scikit-image ships."""
    from skimage import data
    from skimage.transform import resize

    image = getattr(data, name)()
    return (resize(image, (height, width), anti_aliasing=True) * 255).astype(np.uint8)


@pytest.mark.parametrize("degradation", ALL)
def test_the_same_generator_gives_the_same_image_and_another_seed_another(
    degradation: Degradation,
) -> None:
    image = photo(120, 160)
    before = image.copy()
    degrader = load_degrader(degradation)
    assert isinstance(degrader, Degrader)
    first, drawn = degrader.degrade_with_parameters(image, 2.0, np.random.default_rng(7))
    again, drawn_again = degrader.degrade_with_parameters(image, 2.0, np.random.default_rng(7))
    other = degrader.degrade(image, 2.0, np.random.default_rng(8))
    assert first.tobytes() == again.tobytes()
    assert drawn == drawn_again
    assert drawn["severity"] == 2.0
    assert len(drawn) >= 4
    assert not np.array_equal(first, other)
    assert np.array_equal(image, before), "the input was changed in place"


@pytest.mark.parametrize("degradation", ALL)
@settings(max_examples=8, deadline=None)
@given(
    height=st.integers(32, 97),
    width=st.integers(32, 97),
    severity=st.floats(1, 5),
    seed=st.integers(0, 2**31),
)
def test_every_size_and_severity_gives_an_image_of_the_input_s_size(
    degradation: Degradation, height: int, width: int, severity: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    degraded = load_degrader(degradation).degrade(image, severity, rng)
    assert degraded.shape == image.shape
    assert degraded.dtype == np.uint8


@pytest.mark.parametrize("degradation", ALL)
def test_a_lower_severity_score_moves_the_image_further(degradation: Degradation) -> None:
    degrader = load_degrader(degradation)
    pictures = [photo(128, 128, name) for name in ("astronaut", "coffee", "chelsea", "rocket")]
    distance = []
    for severity in (1.0, 3.0, 5.0):
        moved = [
            np.abs(
                degrader.degrade(image, severity, np.random.default_rng([n, seed])).astype(float)
                - image
            ).mean()
            for n, image in enumerate(pictures)
            for seed in range(4)
        ]
        distance.append(float(np.mean(moved)))
    assert distance[0] > 1.25 * distance[1] > 1.25 * distance[2] > 0


def test_the_identity_changes_with_the_ranges() -> None:
    usual = load_degrader("blur").identity
    assert load_degrader("blur").identity == usual
    stronger = DegraderRanges(blur=BlurRanges(length=(9.0, 60.0)))
    assert load_degrader("blur", stronger).identity != usual


def test_set_ranges_are_obeyed() -> None:
    only = DegraderRanges(blur=BlurRanges(weights={"linear": 1.0}, length=(20.0, 20.0)))
    _, drawn = load_degrader("blur", only).degrade_with_parameters(
        photo(64, 64), 3.0, np.random.default_rng(0)
    )
    assert drawn["kind"] == "linear"
    assert drawn["length"] == pytest.approx(20.0)
    with pytest.raises(ValidationError, match="must be among"):
        BlurRanges(weights={"liner": 1.0})
    with pytest.raises(ValidationError, match="must not exceed"):
        WebStyleRanges(sigma=(3.0, 1.0))
    for wrong in ((3, 1), (0, 2)):  # would end a stage in the middle
        with pytest.raises(ValidationError, match="from 1 on"):
            MoireRanges(patterns=wrong)


def test_unusable_input_is_refused_in_words() -> None:
    with pytest.raises(UserError, match="Did you mean haze"):
        load_degrader("hazy")
    degrader = load_degrader("haze")
    with pytest.raises(UserError, match="outside 1"):
        degrader.degrade(photo(64, 64), 0.0, np.random.default_rng(0))
    with pytest.raises(UserError, match="too small"):
        degrader.degrade(photo(20, 64), 3.0, np.random.default_rng(0))
    with pytest.raises(UserError, match="too large"):
        degrader.degrade(np.zeros((32, 66_000, 3), np.uint8), 3.0, np.random.default_rng(0))


def test_a_motion_path_is_centred_to_a_fraction_of_a_pixel() -> None:
    points = np.random.default_rng(0).uniform(-6, 9, (50, 2))
    kernel = path_kernel(points).astype(np.float64)
    axis = np.arange(kernel.shape[0]) - kernel.shape[0] // 2
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert (kernel.sum(axis=0) * axis).sum() == pytest.approx(0, abs=1e-4)
    assert (kernel.sum(axis=1) * axis).sum() == pytest.approx(0, abs=1e-4)
    spread = (kernel.sum(axis=0) * axis**2).sum()
    assert spread == pytest.approx(points[:, 0].var(), rel=0.05)  # and as wide as the path


def test_the_average_of_frames_is_taken_in_linear_light() -> None:
    black, white = np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 255, np.uint8)
    blurred, sharp = average_frames([black, white, black, white])
    assert np.array_equal(sharp, black)
    assert np.all(np.abs(blurred.astype(int) - 188) <= 1)  # 0.5 of linear light, not 128
    with pytest.raises(UserError, match="three frames"):
        average_frames([black, white])


@pytest.mark.parametrize("degradation", ["blur", "moire", "noise", "compression", "reflection"])
def test_the_content_is_not_moved(degradation: str) -> None:
    from skimage.registration import phase_cross_correlation

    image = photo(160, 160)
    degrader = load_degrader(degradation)
    for seed in range(3):
        out = degrader.degrade(image, 4.0, np.random.default_rng(seed))
        shift = phase_cross_correlation(image.mean(axis=2), out.mean(axis=2), upsample_factor=10)[0]
        assert np.abs(shift).max() <= 1.0, (degradation, seed, shift)


def test_a_reflection_shows_the_given_layer_and_never_the_photo_itself() -> None:
    image = photo(96, 96)
    degrader = load_degrader("reflection", layers=[image, photo(96, 96, "coffee")])
    for seed in range(6):
        _, drawn = degrader.degrade_with_parameters(image, 2.0, np.random.default_rng(seed))
        assert drawn["layer"] == 1


def test_the_web_style_chain_is_repeatable_and_keeps_the_size() -> None:
    image = photo(90, 70)
    first, drawn = WebStyle().augment_with_parameters(image, np.random.default_rng(3))
    assert first.shape == image.shape
    assert first.tobytes() == web_style(image, np.random.default_rng(3)).tobytes()
    assert 7 <= drawn["first-kernel"] <= 21
    mild = WebStyle(strength=0.2).augment(image, np.random.default_rng(3))
    assert np.abs(mild - image.astype(float)).mean() < np.abs(first - image.astype(float)).mean()


def test_the_released_pipeline_s_qualities_can_be_asked_for() -> None:
    """Without down-scaling the quality is raised, past that of the milder rounds before it."""
    for quality in ((80.0, 20.0), (100.0, 95.0)):
        ranges = DegraderRanges(compression=CompressionRanges(quality=quality))
        degrader = load_degrader("compression", ranges)
        for seed in range(30):
            _, drawn = degrader.plan(photo(48, 64), 5.0, np.random.default_rng(seed))
            assert 1 <= float(drawn["quality"]) <= 100


def test_a_layer_that_is_a_strip_can_be_mirrored() -> None:
    strip = np.full((4, 300, 3), 200, np.uint8)
    degrader = load_degrader("reflection", layers=[strip])
    assert degrader.degrade(photo(48, 64), 2.0, np.random.default_rng(0)).shape == (48, 64, 3)


def test_a_panorama_wider_than_a_webp_can_be_is_compressed_too() -> None:
    ranges = DegraderRanges(compression=CompressionRanges(webp=1.0, downscale=(1.0, 1.0)))
    degrader, rng = load_degrader("compression", ranges), np.random.default_rng
    for width, webp in ((16_383, 1), (16_384, 0)):
        image = np.zeros((32, width, 3), np.uint8)
        made, drawn = degrader.degrade_with_parameters(image, 3.0, rng(0))
        assert made.shape == image.shape and drawn["webp"] == webp
