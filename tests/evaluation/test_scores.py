"""The two readings, their names, and what cannot be scored."""

from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.degradations import Degradation
from catalog.errors import UserError
from evaluation.scores import (
    ImageScore,
    Provenance,
    ScoreTable,
    bounded,
    columns,
    reading,
    score_name,
)
from evaluation.summary import OVERALL, by_task
from networks.consistency.published import LPIPS_IDENTITY
from networks.interfaces import Identity

PROVENANCE = Provenance.of(
    Identity("j", "1"), Identity("c", "1"), Identity("m", "1"), "bench", "digest"
)
GRADES = st.integers(1, 5).map(float)


def row(number: int, degraded: float, restored: float, moved: float, **more: object) -> ImageScore:
    made = ImageScore(
        f"{number:064d}", f"{number}.png", Degradation.RAIN, "scored", degraded, restored, moved
    )
    return replace(made, **more)  # type: ignore[arg-type]


def released_by_the_authors(triples: list[tuple[float, float, float]]) -> float:
    """Their evaluator's arithmetic (RealIR-Bench/evaluate_fs.py), from its description:

    RS clamped at 0; FS from unrounded LPIPS; each printed with six decimals, then averaged.
    """
    printed = []
    for degraded, restored, lpips in triples:
        difference = max(0.0, restored - degraded)
        printed.append(float(f"{0.2 * difference * (1.0 - lpips):.6f}"))
    return float(f"{mean(printed):.6f}")


@given(st.lists(st.tuples(GRADES, GRADES, st.floats(0, 1.2)), min_size=1, max_size=60))
def test_released_equals_the_authors_evaluator(triples: list[tuple[float, float, float]]) -> None:
    rows = [row(i, *triple) for i, triple in enumerate(triples)]
    mine = reading(columns(rows).mean(axis=0)[None], "released")[0]
    assert mine == pytest.approx(released_by_the_authors(triples), abs=1e-6)


@pytest.mark.parametrize(
    ("model", "lps", "rs", "fs"),
    [
        ("Nano Banana Pro", 0.413, 1.306, 0.153),
        ("GPT-Image-1.5", 0.525, 1.578, 0.150),
        ("RealRestorer", 0.445, 1.312, 0.146),
        ("Qwen-Image-Edit-2511", 0.320, 0.931, 0.127),
        ("Seedream 4.5", 0.390, 1.029, 0.125),
        ("LongCat-Image-Edit", 0.270, 0.661, 0.097),
        ("FLUX.1-Kontext-dev", 0.202, 0.349, 0.056),
        ("Step1X-Edit", 0.325, 0.270, 0.036),
    ],
)
def test_paper_reading_gives_the_published_table(
    model: str, lps: float, rs: float, fs: float
) -> None:
    found = reading(np.array([[lps, rs, np.nan, np.nan]]), "paper")[0]
    assert found == pytest.approx(fs, abs=1e-3), model


def test_the_readings_differ_where_an_image_got_worse() -> None:
    rows = [row(0, 2, 4, 0.5), row(1, 4, 2, 0.1)]
    means = columns(rows).mean(axis=0)[None]
    assert reading(means, "released")[0] == pytest.approx((0.2 * 0.5 * 2) / 2)
    assert reading(means, "signed")[0] == pytest.approx((0.2 * 0.5 * 2 - 0.2 * 0.9 * 2) / 2)
    assert reading(means, "paper")[0] == 0.0


def test_a_missing_prediction_is_zero_and_a_judge_failure_is_left_out() -> None:
    rows = (
        row(0, 2, 4, 0.5),
        row(1, 2, 0, 0, outcome="missing-prediction", severity_restored=None, distance=None),
        row(2, 0, 0, 0.5, outcome="judge-failed-degraded", severity_degraded=None),
    )
    table = ScoreTable(PROVENANCE, rows)
    assert [r.name for r in table.counted()] == ["0.png", "1.png"]
    assert by_task(table, 100)[OVERALL]["released"].estimate == pytest.approx(0.1)
    assert table.outcomes() == {"judge-failed-degraded": 1, "missing-prediction": 1, "scored": 1}


@given(GRADES, GRADES, st.floats(0, 1), st.booleans(), st.booleans())
def test_bounds_hold_whatever_the_judge_would_have_said(
    degraded: float, restored: float, distance: float, lost_first: bool, lost_second: bool
) -> None:
    whole = row(0, degraded, restored, distance)
    outcome = "judge-failed-degraded" if lost_first else "judge-failed-restored"
    lost = replace(
        whole,
        outcome=outcome if lost_first or lost_second else "scored",
        severity_degraded=None if lost_first else degraded,
        severity_restored=None if lost_second else restored,
    )
    for name, truth in (("signed", whole.signed), ("released", whole.released)):
        low, high = bounded([lost], name)
        assert low - 1e-6 <= truth <= high + 1e-6


QWEN = Identity("qwen3-vl", "Qwen3-VL-8B-Instruct", "a" * 64, "b" * 64)


@pytest.mark.parametrize(
    ("judge", "consistency", "name"),
    [
        (QWEN, LPIPS_IDENTITY, "fs"),
        (Identity("openai", "Qwen/Qwen3-VL-8B-Instruct"), LPIPS_IDENTITY, "fs"),
        (Identity("openai", "Qwen/Qwen3-VL-8B-Instruct-FP8"), LPIPS_IDENTITY, "proxy_fs"),
        (Identity("proxy-judge", "1"), LPIPS_IDENTITY, "proxy_fs"),
        (QWEN, Identity("ms-ssim", "v1"), "proxy_fs"),
        (QWEN, replace(LPIPS_IDENTITY, weights="c" * 64), "proxy_fs"),
        (QWEN, replace(LPIPS_IDENTITY, trained=False), "proxy_fs"),
        (replace(QWEN, trained=False), LPIPS_IDENTITY, "proxy_fs"),
    ],
)
def test_only_the_real_judge_and_lpips_make_fs(
    judge: Identity, consistency: Identity, name: str
) -> None:
    assert score_name(judge, consistency) == name


def test_a_table_survives_the_disk_with_its_identities(tmp_path: Path) -> None:
    table = ScoreTable(PROVENANCE, (row(0, 2, 4, 0.25), row(1, 1.5, 3.5, 0.125)))
    table.write(tmp_path / "scores.parquet")
    assert ScoreTable.read(tmp_path / "scores.parquet") == table


def test_scores_without_identities_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    ScoreTable(PROVENANCE, (row(0, 2, 4, 0.25),)).write(path)
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    with pytest.raises(UserError, match="who computed them"):
        ScoreTable.read(path)
