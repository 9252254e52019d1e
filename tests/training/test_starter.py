"""The starter's script: what its training pairs are degraded by, and what it refuses."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from catalog.degradations import Degradation
from catalog.layout import Layout
from catalog.settings.degraders import DegraderRanges
from catalog.stage import alone
from networks.degraders import load_degrader
from tests.training.dataset import ROOT
from training.starter import varied

MOST_LIKE_ONE_SEVERITY = 0.5
"""Correlation of two strengths of a degradation; drawn by one severity it is about 0.9."""


def test_one_work_tree_makes_one_starter_at_a_time(tmp_path: Path) -> None:
    """The one that ends first would remove what the other has so far."""
    layout = Layout(tmp_path / "work")
    command = [sys.executable, "-m", "training.starter", "--photos", str(tmp_path)]
    command += ["--work", str(layout.root), "--out", str(tmp_path / "out")]
    with alone(layout, "starter"):
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert second.returncode == 1
    assert "Another process runs the stage starter" in second.stderr


def test_a_crop_of_broken_patches_is_refused_before_photos_are_degraded(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training.starter", "--photos", str(tmp_path / "none")]
    command += ["--work", str(tmp_path / "w"), "--out", str(tmp_path / "out"), "--crop", "100"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert said.returncode == 1
    assert said.stderr.endswith("Set crop to 96 or 104.\n")


def test_every_strength_has_a_severity_of_its_own_within_its_range() -> None:
    rng = np.random.default_rng(5)
    usual = DegraderRanges()
    drawn = [varied(usual, rng) for _ in range(200)]

    for name in ("glare", "streak", "ghost", "veil"):
        mild, extreme = getattr(usual.flare, name)
        values = [getattr(each.flare, name) for each in drawn]
        assert all(low == high for low, high in values)
        assert mild <= min(values)[0] < mild + 0.05 * (extreme - mild)
        assert extreme - 0.05 * (extreme - mild) < max(values)[0] <= extreme
    veils, glares = ([getattr(each.flare, n)[0] for each in drawn] for n in ("veil", "glare"))
    assert abs(np.corrcoef(veils, glares)[0, 1]) < MOST_LIKE_ONE_SEVERITY


def test_what_does_not_depend_on_severity_stays_and_all_nine_degrade() -> None:
    usual = DegraderRanges()
    changed = varied(usual, np.random.default_rng(6))
    assert changed.flare.ghosts == usual.flare.ghosts
    assert changed.rain.angle == usual.rain.angle
    assert changed.blur.weights == usual.blur.weights

    photo = np.random.default_rng(7).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for task in Degradation:
        layers = [photo[::-1].copy()] if task is Degradation.REFLECTION else ()
        degraded = load_degrader(task, changed, layers=layers).degrade(
            photo, 2.0, np.random.default_rng(8)
        )
        assert degraded.shape == photo.shape
        assert (degraded != photo).any()
