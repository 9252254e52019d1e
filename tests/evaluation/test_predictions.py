"""`mendline evaluate` on folders: how predictions are matched, and what goes wrong with them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from catalog.degradations import Degradation
from evaluation.benchmark import read_task
from evaluation.judging import CachedJudge
from evaluation.restoring import FolderSource
from evaluation.scoring import Evaluation, score
from flows.cli.evaluate import evaluate
from flows.cli.restore import restore
from networks.consistency import load_consistency
from tests.evaluation.conftest import SETTINGS
from tests.evaluation.parts import MeanDistance, SharpnessJudge, photo
from tests.networks.consistency.backbone import digest, random_backbone


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three references below two folders, and their predictions, the same images."""
    for name, seed in (("a.png", 1), ("b.png", 2), ("sub/c.png", 3)):
        for side in ("reference", "predictions"):
            path = tmp_path / side / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo(seed)).save(path)
    return tmp_path / "reference", tmp_path / "predictions"


def run(folders: tuple[Path, Path], **judge: Any) -> Evaluation:
    reference, predictions = folders
    opened = read_task(reference, Degradation.BLUR)
    with CachedJudge(SharpnessJudge(**judge), reference.parent / "cache.db") as cached:
        source = FolderSource(predictions, "predictions", opened)
        return score(opened, source, cached, MeanDistance(), SETTINGS, None)


def outcomes(folders: tuple[Path, Path], **judge: Any) -> dict[str, str]:
    return {row.name: row.outcome for row in run(folders, **judge).table.rows}


def test_equal_images_score_zero(folders: tuple[Path, Path]) -> None:
    rows = run(folders).table.rows
    assert [row.name for row in rows] == ["a.png", "b.png", "sub/c.png"]
    assert all(row.rs == 0 and row.lps == 0 and row.outcome == "scored" for row in rows)


def test_a_missing_prediction_is_counted(folders: tuple[Path, Path]) -> None:
    (folders[1] / "sub/c.png").unlink()
    assert outcomes(folders)["sub/c.png"] == "missing-prediction"


def test_an_unreadable_prediction_is_counted(folders: tuple[Path, Path]) -> None:
    (folders[1] / "b.png").write_bytes((folders[1] / "b.png").read_bytes()[:200])
    found = run(folders)
    assert found.table.rows[1].outcome == "unreadable-prediction"
    assert "b.png" in found.failures


def test_an_unreadable_reference_is_no_question(folders: tuple[Path, Path]) -> None:
    (folders[0] / "b.png").write_bytes(b"not an image")
    table = run(folders).table
    assert table.rows[1].outcome == "unreadable-reference"
    assert len(table.counted()) == 2


def test_a_smaller_prediction_is_resized_by_lanczos(folders: tuple[Path, Path]) -> None:
    picture = Image.fromarray(photo(1))
    small = picture.resize((48, 48), Image.Resampling.LANCZOS)
    small.save(folders[1] / "a.png")
    back = np.asarray(small.resize((96, 96), Image.Resampling.LANCZOS))
    wanted = MeanDistance().distance(photo(1), back)
    assert run(folders).table.rows[0].lps == pytest.approx(wanted, abs=1e-6)


def test_other_suffix_and_other_case_are_matched(folders: tuple[Path, Path]) -> None:
    (folders[1] / "a.png").unlink()
    Image.fromarray(photo(1)).save(folders[1] / "A.webp", lossless=True)
    rows = run(folders).table.rows
    assert (rows[0].outcome, rows[0].lps) == ("scored", 0.0)


def test_what_the_restore_command_wrote_is_matched(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reference, out = str(folders[0]), str(tmp_path / "restored")
    made = CliRunner().invoke(restore, [reference, "-d", "blur", "--out", out])
    assert made.exit_code == 0, made.output
    options = ["--reference", reference, "--predictions", out, "--task", "blur"]
    done = CliRunner().invoke(evaluate, [*options, "--out", "r.json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert json.loads(Path("r.json").read_text())["outcomes"] == {"scored": 3}


def test_two_candidates_are_no_match(folders: tuple[Path, Path]) -> None:
    (folders[1] / "a.png").unlink()
    for name in ("A.png", "a.webp"):
        Image.fromarray(photo(1)).save(folders[1] / name)
    found = run(folders)
    assert found.table.rows[0].outcome == "missing-prediction"
    assert "2 files match" in found.failures["a.png"]


def test_grey_and_transparent_images_are_laid_out_as_rgb(folders: tuple[Path, Path]) -> None:
    grey = Image.fromarray(photo(1)).convert("L")
    for folder in folders:
        grey.save(folder / "a.png")
    clear = Image.fromarray(np.dstack([photo(2), np.full((96, 96), 128, np.uint8)]), "RGBA")
    clear.save(folders[1] / "b.png")
    rows = run(folders).table.rows
    assert rows[0].lps == 0.0
    white = Image.alpha_composite(Image.new("RGBA", (96, 96), "white"), clear).convert("RGB")
    assert rows[1].lps == pytest.approx(
        MeanDistance().distance(photo(2), np.asarray(white)), abs=1e-6
    )


def test_exif_rotation_is_applied_on_both_sides(folders: tuple[Path, Path]) -> None:
    upright = Image.fromarray(photo(1)[:, :64])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    for folder in folders:
        (folder / "a.png").unlink()
    upright.save(folders[0] / "a.png")
    upright.rotate(90, expand=True).save(folders[1] / "a.png", exif=exif)
    assert run(folders).table.rows[0].lps == 0.0


def test_a_judge_failure_is_not_a_score(folders: tuple[Path, Path]) -> None:
    Image.new("RGB", (96, 96)).save(folders[1] / "b.png")
    found = run(folders, fail_below=5.0)
    assert found.table.rows[1].outcome == "judge-failed-restored"
    assert found.failures["b.png"] == "judge-failed-restored: too dark to judge"
    assert len(found.table.counted()) == 2


def test_nothing_in_common_is_an_error(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy(folders[1] / "a.png", tmp_path / "other/z.png")
    with pytest.raises(Exception, match=r"No file in .* has the name of a reference"):
        run((folders[0], tmp_path / "other"))


def test_the_command_writes_all_it_found(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (folders[1] / "b.png").unlink()
    options = ["--reference", str(folders[0]), "--predictions", str(folders[1]), "--task", "blur"]
    done = CliRunner().invoke(evaluate, [*options, "--out", "r.json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "these numbers are not FS" in done.output
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["score_name"] == "proxy_fs"
    assert found["outcomes"] == {"missing-prediction": 1, "scored": 2}
    assert [row["name"] for row in found["rows"]] == ["a.png", "b.png", "sub/c.png"]
    again = CliRunner().invoke(evaluate, [*options, "--out", "again.json"])
    assert again.exit_code == 0
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "r.json").read_bytes()


def test_full_reference_mode(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clean = photo(1)
    noisy = np.clip(
        clean.astype(int) + np.random.default_rng(0).integers(-9, 10, clean.shape), 0, 255
    )
    Image.fromarray(noisy.astype(np.uint8)).save(folders[1] / "a.png")
    (folders[1] / "sub/c.png").unlink()
    options = ["--reference", str(folders[0]), "--predictions", str(folders[1]), "--full-reference"]
    done = CliRunner().invoke(evaluate, [*options, "--out", "r.json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "r.json").read_text())
    mse = np.mean((clean.astype(float) - noisy) ** 2)
    assert found["images"][0]["psnr"] == pytest.approx(10 * np.log10(255**2 / mse), abs=1e-4)
    assert found["identical"] == 1 and found["images"][1]["psnr"] is None
    assert found["outcomes"] == {"missing-prediction": 1, "scored": 2}
    assert found["mean"]["psnr"]["n"] == 1 and found["mean"]["ssim"]["n"] == 2


def test_full_reference_mode_with_lpips_under_the_name_of_its_weights(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo(9)).save(folders[1] / "a.png")
    backbone = random_backbone(tmp_path / "torch")
    name = f"lpips:{backbone}@{digest(backbone)}"
    options = ["--reference", str(folders[0]), "--predictions", str(folders[1]), "--full-reference"]
    done = CliRunner().invoke(
        evaluate, [*options, "--consistency", name, "--out", "r.json"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "r.json").read_text())
    wanted = load_consistency(name).distance(photo(1), photo(9))
    assert found["images"][0]["distance"] == pytest.approx(wanted, abs=1e-6)
    assert found["distance"].startswith("alexnet-distance/"), "not LPIPS with these weights"
    assert found["mean"]["distance"]["n"] == 3


def test_options_that_do_not_fit_together() -> None:
    done = CliRunner().invoke(evaluate, ["--out", "r.json", "--reference", "a"])
    assert done.exit_code == 2 and "either --predictions or --restorer" in done.output
    done = CliRunner().invoke(
        evaluate, ["--out", "r.json", "--reference", "a", "--predictions", "b"]
    )
    assert done.exit_code == 2 and "needs --task" in done.output
