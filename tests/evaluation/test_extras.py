"""Second opinions: beside the score, never part of it."""

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from catalog import schemas
from catalog.errors import ImageRefused, UserError
from catalog.layout import Layout
from catalog.tables import read_table
from evaluation.benchmark import read_benchmark
from evaluation.extras import load_extras
from evaluation.judging import CachedJudge
from evaluation.restoring import RestorerSource
from evaluation.scores import ScoreTable
from evaluation.scoring import score
from networks.consistency import load_consistency
from networks.quality import load_quality
from tests.evaluation.conftest import SETTINGS
from tests.evaluation.parts import MeanDistance, Sharpener, SharpnessJudge, photo

needs_pyiqa = pytest.mark.skipif(
    importlib.util.find_spec("pyiqa") is None,
    reason="pyiqa is not installed (extra `iqa`, noncommercial licence)",
)


def run(layout: Layout, *extras: str) -> Path:
    benchmark = read_benchmark(layout.benchmark)
    settings = SETTINGS.model_copy(update={"extras": extras, "repeat_images": 0})
    source = RestorerSource(Sharpener(100), benchmark, layout.root / "restored")
    out = layout.root / f"out-{len(extras)}"
    with CachedJudge(SharpnessJudge(), layout.root / "cache.db") as cached:
        score(benchmark, source, cached, MeanDistance(), settings, out)
    return out


def test_a_second_distance_is_reported_and_changes_no_score(layout: Layout) -> None:
    without, given = run(layout), run(layout, "gmsd")
    assert not (without / "extras.parquet").exists()
    tables = [ScoreTable.read(out / "scores.parquet") for out in (without, given)]
    assert tables[0] == tables[1]
    rows = read_table(given / "extras.parquet", schemas.EXTRAS).to_pylist()
    assert len(rows) == 36
    benchmark = read_benchmark(layout.benchmark)
    first = benchmark.image(benchmark.items[0])
    wanted = load_consistency("gmsd").distance(first, Sharpener(100).restore([first], None)[0])  # type: ignore[arg-type]
    assert rows[0]["restored"] == pytest.approx(wanted, abs=1e-6)
    assert rows[0]["degraded"] is None
    found = json.loads((given / "summary.json").read_text())["extras"]
    (name,) = found
    assert name.startswith("gmsd/") and found[name]["kind"] == "distance"
    mean = np.mean([row["restored"] for row in rows])
    overall = found[name]["tasks"]["overall"]["restored"]
    assert overall["estimate"] == pytest.approx(mean, abs=1e-6)
    assert overall["low"] < overall["estimate"] < overall["high"]
    assert len(found[name]["tasks"]) == 10


def test_a_measure_of_another_name_is_refused() -> None:
    with pytest.raises(UserError, match="Did you mean pyiqa:piqe"):
        load_extras(["pyiqa:pique"])
    with pytest.raises(UserError, match="no consistency measure named 'gsmd'"):
        load_extras(["gsmd"])


@pytest.mark.skipif(importlib.util.find_spec("pyiqa") is not None, reason="pyiqa is installed")
def test_without_pyiqa_it_is_said_what_to_install() -> None:
    with pytest.raises(UserError, match="needs the package pyiqa") as info:
        load_quality("pyiqa:piqe")
    assert "mendline[iqa]" in info.value.remedy


@needs_pyiqa
def test_measures_without_weights_run_offline() -> None:
    sharp = photo(1, 128)
    noisy = np.clip(sharp + np.random.default_rng(0).normal(0, 30, sharp.shape), 0, 255)
    piqe, entropy = load_quality("pyiqa:piqe"), load_quality("pyiqa:entropy")
    assert piqe.lower_is_better and not entropy.lower_is_better
    assert piqe.quality(noisy.astype(np.uint8)) > 0
    # Entropy of the grey levels, in bits: none for one level, 8 for all levels alike.
    assert entropy.quality(np.full((64, 64, 3), 90, np.uint8)) == pytest.approx(0, abs=1e-3)
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    assert entropy.quality(np.repeat(ramp, 64, axis=1)) == pytest.approx(8, abs=0.01)
    with pytest.raises(ImageRefused, match="below 16"):
        piqe.quality(sharp[:8])


@needs_pyiqa
def test_niqe_reads_only_the_file_of_the_given_hash(tmp_path: Path) -> None:
    file = tmp_path / "niqe.mat"
    savemat(file, {"mu_prisparam": np.ones((1, 36)), "cov_prisparam": np.eye(36)})
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    niqe = load_quality(f"pyiqa:niqe:{file}@{digest}")
    assert niqe.identity.weights == digest
    assert niqe.quality(photo(1, 200)) > 0
    with pytest.raises(UserError, match=f"has the SHA-256 {digest}"):
        load_quality(f"pyiqa:niqe:{file}@{'0' * 64}")
    with pytest.raises(UserError, match="NIQE needs its parameters"):
        load_quality("pyiqa:niqe")


def test_a_measure_named_twice_is_taken_once() -> None:
    assert len(load_extras(["gmsd", "gmsd"]).measures) == 1
