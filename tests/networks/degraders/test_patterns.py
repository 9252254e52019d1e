"""Folders of photographed patterns, which are hostile input."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catalog.errors import UserError
from catalog.settings.degraders import DegraderRanges, FlareRanges, HazeRanges, RainRanges
from networks.degraders import load_degrader
from networks.degraders.patterns import PatternFolder
from networks.degraders.sources import load_sources

ALWAYS = DegraderRanges(
    flare=FlareRanges(pattern=1.0, veil=(0.0, 0.0)),
    haze=HazeRanges(pattern=1.0),
    rain=RainRanges(pattern=1.0, events=(1.0, 1.0), near=0.0, droplets=0.0, veil=(0.05, 0.05)),
)
GREY = np.full((96, 128, 3), 90, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One pattern, bright in its right half, among what must be left out."""
    pattern = np.zeros((100, 200, 3), np.uint8)
    pattern[:, 100:] = 230
    (tmp_path / "deep").mkdir()
    Image.fromarray(pattern).save(tmp_path / "deep/one.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    (tmp_path / "notes.txt").write_text("no pattern")
    Image.new("1", (7000, 7000)).save(tmp_path / "bomb.png")
    outside = tmp_path.parent / f"{tmp_path.name}-outside.png"
    Image.fromarray(255 - pattern).save(outside)
    (tmp_path / "link.png").symlink_to(outside)
    return tmp_path


def test_only_sound_files_of_the_folder_itself_are_patterns(folder: Path) -> None:
    patterns = PatternFolder(folder)
    assert len(patterns) == 1
    assert patterns[0].shape == (100, 200, 3)


def test_the_digest_is_of_the_contents_not_of_the_names(folder: Path) -> None:
    before = PatternFolder(folder).digest
    (folder / "deep/one.png").rename(folder / "other.png")
    assert PatternFolder(folder).digest == before
    Image.fromarray(GREY).save(folder / "two.png")
    assert PatternFolder(folder).digest != before


def test_a_folder_without_patterns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No file in"):
        PatternFolder(tmp_path)
    with pytest.raises(UserError, match="no folder of patterns"):
        load_sources(patterns={"flare": str(tmp_path / "none")})


@pytest.mark.parametrize("name", ["flare", "haze", "rain"])
def test_a_pattern_is_seen_where_it_is_bright_and_named_in_the_identity(
    name: str, folder: Path
) -> None:
    sources = load_sources(patterns={name: folder})
    degrader = load_degrader(name, ALWAYS, sources=sources)
    assert degrader.identity != load_degrader(name, ALWAYS).identity
    apart = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        image, drawn = degrader.degrade_with_parameters(GREY, 2.0, rng)
        assert drawn["pattern"] == 0
        columns = image.astype(float).mean(axis=(0, 2))
        apart.append(columns[-8:].mean() - columns[:8].mean())  # mirrored half of the time
    assert np.mean(np.abs(apart)) > 15
    assert min(apart) < 0 < max(apart)


def test_without_a_folder_nothing_is_drawn_for_it() -> None:
    _, drawn = load_degrader("flare").degrade_with_parameters(GREY, 2.0, np.random.default_rng(0))
    assert "patterned" not in drawn
