"""`mendline degrade` on files of one's own."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from flows.cli import main


def _run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "in"
    (inside / "deep").mkdir(parents=True)
    Image.fromarray(data.coffee()[:120, :160]).save(inside / "deep/a.png")
    Image.fromarray(data.chelsea()[:100, :90]).save(inside / "b.jpg")
    (inside / "broken.jpg").write_bytes(b"no image")
    return inside


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for out, seed in (("one", 3), ("two", 3), ("three", 4)):
        options = ("--degradation", "rain", "--seed", seed, "--out", tmp_path / out)
        assert _run("degrade", folder, *options) == 0
    for name in ("deep/a.png.png", "b.jpg.png", "parameters.jsonl"):
        first = (tmp_path / "one" / name).read_bytes()
        assert first == (tmp_path / "two" / name).read_bytes()
        assert first != (tmp_path / "three" / name).read_bytes()
    with Image.open(tmp_path / "one/deep/a.png.png") as degraded:
        assert degraded.size == (160, 120)
    lines = (tmp_path / "one/parameters.jsonl").read_text().splitlines()
    assert {json.loads(line)["file"] for line in lines} == {"deep/a.png.png", "b.jpg.png"}
    assert 1 <= json.loads(lines[0])["severity"] <= 4


def test_a_severity_is_obeyed(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _run("degrade", folder / "b.jpg", "-d", "noise", "--severity", 1, "--out", out) == 0
    with Image.open(out / "b.jpg.png") as noisy, Image.open(folder / "b.jpg") as clean:
        assert np.abs(np.asarray(noisy).astype(int) - np.asarray(clean)).mean() > 15


def test_frames_of_a_clip_become_a_motion_blurred_pair(tmp_path: Path) -> None:
    for number in range(5):
        frame = np.roll(data.coffee()[:64, :96], 2 * number, axis=1)
        (tmp_path / "frames").mkdir(exist_ok=True)
        Image.fromarray(frame).save(tmp_path / f"frames/{number}.png")
    assert _run("degrade", tmp_path / "frames", "--video", "--out", tmp_path / "out") == 0
    with Image.open(tmp_path / "out/sharp.png") as sharp:
        with Image.open(tmp_path / "frames/2.png") as middle:
            assert np.array_equal(np.asarray(sharp), np.asarray(middle))
        with Image.open(tmp_path / "out/blurred.png") as blurred:
            assert np.asarray(blurred).std(axis=1).mean() < np.asarray(sharp).std(axis=1).mean()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "{out}"], "No degradation"),
        (["-d", "rain", "--out", "{folder}/out"], "lies inside"),
        (["-d", "rain", "--severity", "9", "--out", "{out}"], "range"),
        (["-d", "snow", "--out", "{out}"], "low-light"),
    ],
)
def test_faults_are_told(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    filled = [a.format(out=tmp_path / "out", folder=folder) for a in arguments]
    assert _run("degrade", folder, *filled) != 0
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_gallery_shows_all_nine_at_five_severities(folder: Path, tmp_path: Path) -> None:
    (folder / "b.jpg").rename(folder / "<b>.jpg")
    assert _run("degrade", folder, "--gallery", "--out", tmp_path / "out") == 0
    page = (tmp_path / "out/gallery.html").read_text()
    assert page.count("<img") == 9 * 2 * 6
    assert "<b>" not in page
    assert "http" not in page  # self-contained
