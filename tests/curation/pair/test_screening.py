"""Screening of pairs: movement to a fraction of a pixel, content, and the order of the rules."""

import cv2
import numpy as np
import pytest
from skimage import data

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.pairs import Pair
from curation.pair.alignment import find_movement
from curation.pair.colour import find_drift
from curation.pair.measures import Measures, compare
from curation.pair.verdict import drift_fault, movement_fault, verdict_of
from curation.pair.warps import find_warp
from networks.degraders import load_degrader

PHOTO = np.ascontiguousarray(data.astronaut()[:240, :320])
TASKS = (Degradation.LOW_LIGHT, Degradation.NOISE, Degradation.HAZE)


def degraded(task: Degradation) -> Rgb:
    return load_degrader(task).degrade(PHOTO, 2.0, np.random.default_rng(1))


def moved(matrix: list[list[float]]) -> Rgb:
    size = PHOTO.shape[1::-1]
    flags = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REFLECT_101}
    return cv2.warpAffine(PHOTO, np.array(matrix, np.float32), size, **flags)


def fault(task: Degradation, target: Rgb) -> str | None:
    return movement_fault(compare(degraded(task), target, task), task, Pair())


@pytest.mark.parametrize("task", TASKS)
def test_a_sound_pair_passes_under_a_heavy_degradation(task: Degradation) -> None:
    assert fault(task, PHOTO) is None


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("dx", "dy"), [(0.7, -0.5), (0.0, 3.0)])
def test_a_shift_is_measured_to_a_fifth_of_a_pixel(task: Degradation, dx: float, dy: float) -> None:
    target = moved([[1, 0, dx], [0, 1, dy]])
    found = find_movement(degraded(task), target)
    assert found.rms == pytest.approx(float(np.hypot(dx, dy)), abs=0.2)
    assert fault(task, target) == "shifted"


@pytest.mark.parametrize("scale", [1.01, 0.99])
def test_a_zoom_of_one_percent_is_found(scale: float) -> None:
    centre = (1 - scale) * 160, (1 - scale) * 120
    target = moved([[scale, 0, centre[0]], [0, scale, centre[1]]])
    assert fault(Degradation.HAZE, target) == "shifted"


def test_other_content_is_told_apart() -> None:
    task = Degradation.NOISE
    assert fault(task, np.ascontiguousarray(PHOTO[:, ::-1])) == "another-content"
    pasted = PHOTO.copy()
    pasted[30:110, 200:290] = data.coffee()[100:180, 100:190]
    assert fault(task, pasted) in ("content-changed", "warped")


def drifted(task: Degradation, target: Rgb) -> str | None:
    return drift_fault(find_drift(degraded(task), target).scores(), task, Pair())


@pytest.mark.parametrize("task", [Degradation.BLUR, Degradation.NOISE, Degradation.COMPRESSION])
def test_a_target_of_another_colour_or_exposure_is_told(task: Degradation) -> None:
    assert drifted(task, PHOTO) is None
    warm = np.clip(PHOTO * np.array([1.15, 1, 0.87]), 0, 255).astype(np.uint8)
    assert drifted(task, warm) == "colour-drift"
    grey = cv2.cvtColor(cv2.cvtColor(PHOTO, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    dark = find_drift(grey, (grey * 0.6).astype(np.uint8)).scores()
    assert drift_fault(dark, task, Pair()) == "exposure-drift"
    # What a teacher takes away in one place is no drift.
    spot = PHOTO.copy()
    spot[40:100, 60:140] = 250
    assert drift_fault(find_drift(spot, PHOTO).scores(), task, Pair()) is None


def test_one_part_that_moves_by_itself_is_told_from_the_whole() -> None:
    y, x = np.indices(PHOTO.shape[:2], dtype=np.float32)
    bump = 4 * np.exp(-((y - 130) ** 2 + (x - 190) ** 2) / (2 * 30**2))
    bent = cv2.remap(PHOTO, x + bump, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    for task in TASKS:
        assert find_warp(degraded(task), PHOTO) < 0.05
        assert find_warp(degraded(task), bent) > 0.15
    assert find_warp(PHOTO, PHOTO) == 0
    assert find_warp(PHOTO[:40, :33], PHOTO[:40, :33]) == 0


def measures(**given: float | None) -> Measures:
    usual = {"severity_degraded": 2.0, "severity_clean": 4.5, "consistency": 0.2, "shift": 0.0}
    scores = {"move-before": 0.9, "move-after": 0.9, "move-relative": 0.0}
    scores |= {"content-changed": 0.0, "move-warp": 0.0}
    scores |= {"drift-chroma": 0.0, "drift-light": 0.0}
    return Measures(**(usual | given), scores=scores)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "sound"),
        ({"consistency": 0.001}, "unchanged"),
        ({"severity_clean": None}, "not-judged"),
        ({"severity_clean": 2.1}, "small-difference"),
        ({"severity_clean": 1.5}, "worse"),
        ({"severity_degraded": 1.0, "severity_clean": 2.0}, "target-degraded"),
        ({"consistency": 0.85}, "inconsistent"),
    ],
)
def test_each_rule_gives_its_reason(given: dict[str, float | None], reason: str) -> None:
    verdict, found = verdict_of(measures(**given), Degradation.NOISE, Pair())
    assert found == reason
    assert verdict == ("keep" if reason == "sound" else "drop")


def test_limits_are_by_degradation() -> None:
    far = measures(consistency=0.65)
    assert verdict_of(far, Degradation.LOW_LIGHT, Pair())[0] == "keep"
    settings = Pair(min_difference={"default": 0.3, "noise": 3.0})
    assert verdict_of(measures(), Degradation.NOISE, settings)[1] == "small-difference"
    assert verdict_of(measures(), Degradation.HAZE, settings)[1] == "sound"


def test_a_synthetic_pair_is_dropped_only_when_nothing_can_be_seen() -> None:
    task, settings = Degradation.RAIN, Pair()
    faint = measures(severity_clean=2.1, consistency=0.01)
    assert verdict_of(faint, task, settings, synthetic=True) == ("drop", "not-visible")
    seen = measures(severity_clean=3.0, consistency=0.01)
    assert verdict_of(seen, task, settings, synthetic=True)[0] == "keep"
    changed = measures(severity_clean=2.0, consistency=0.1)
    assert verdict_of(changed, task, settings, synthetic=True)[0] == "keep"
