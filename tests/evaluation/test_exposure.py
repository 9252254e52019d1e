"""Benchmark images that a version learned from: the candidate's stop it, the champion's go."""

from collections.abc import Callable
from pathlib import Path

from catalog import schemas
from catalog.layout import Layout
from catalog.settings import Params
from catalog.tables import write_table
from evaluation.benchmark import read_benchmark
from evaluation.exposure import exposed
from evaluation.registry import decisions
from evaluation.registry.gating import Gated, gate_version
from evaluation.registry.register import register_candidate
from evaluation.registry.store import Registry
from tests.evaluation.conftest import score_sharpener

ELSEWHERE = "e" * 64


def _pairs(layout: Layout, *photos: str) -> None:
    rows = [
        {name: f"{name}-{photo}" for name in schemas.DATASET.names} | {"photo_id": photo}
        for photo in photos
    ]
    write_table(layout.dataset / "pairs.parquet", rows, schemas.DATASET)


def _gate(
    layout: Layout, params: Params, model: Path, percent: int, *learned: str
) -> tuple[str, Gated]:
    """Register a Sharpener of `percent` that learned from the photos `learned`, and gate it."""
    _pairs(layout, *learned)
    out = layout.root / f"results/{percent}"
    score_sharpener(layout, percent, out)
    version = register_candidate(layout, params, model, out).version
    return version, gate_version(layout, params, version)


def _ids(layout: Layout) -> list[str]:
    return sorted(item.image_id for item in read_benchmark(layout.benchmark).items)


def test_a_candidate_that_learned_from_the_benchmark_is_not_promoted(
    layout: Layout, params: Params, registry: Registry, model_folder: Callable[[int], Path]
) -> None:
    image = _ids(layout)[0]
    _, gated = _gate(layout, params, model_folder(1), 100, image)
    assert gated.verdict.verdict == "inconclusive"
    assert gated.verdict.reasons == (
        "The model learned from 1 of the benchmark's images, or other versions of them, such as "
        f"{image[:12]}; train it again on a dataset without them.",
    )


def test_a_version_of_a_benchmark_image_and_a_match_of_one_count_too(layout: Layout) -> None:
    known, benchmark = {ELSEWHERE}, {"a", "b", "c"}
    assert exposed(layout, None, benchmark) is None
    assert exposed(layout, known, benchmark) == set()
    group = [{"image_id": key, "group": "a", "keeper": True} for key in ("a", ELSEWHERE)]
    rows = [dict.fromkeys(schemas.DUPLICATES.names) | row for row in group]
    write_table(layout.duplicates, rows, schemas.DUPLICATES)
    assert exposed(layout, known, benchmark) == {"a"}
    match = {"image_id": ELSEWHERE, "benchmark_id": "b"}
    rows = [dict.fromkeys(schemas.CONTAMINATION.names) | match]
    write_table(layout.contamination, rows, schemas.CONTAMINATION)
    assert exposed(layout, known, benchmark) == {"a", "b"}
    assert exposed(layout, known, {"c"}) == set()


def test_what_the_champion_learned_from_is_left_out_of_the_comparison(
    layout: Layout, params: Params, registry: Registry, model_folder: Callable[[int], Path]
) -> None:
    first, gated = _gate(layout, params, model_folder(1), 60, *_ids(layout)[:2], ELSEWHERE)
    assert gated.verdict.verdict == "inconclusive"
    decisions.approve(layout, params, first, "Ada", override="it was not held out then")
    _, gated = _gate(layout, params, model_folder(2), 100, ELSEWHERE)
    total = len(_ids(layout))
    assert (gated.verdict.left_out, gated.verdict.difference.n) == (2, total - 2)
    assert gated.verdict.verdict == "promote"
    assert "learned from 2 of the benchmark's images" in gated.report.read_text()


def test_a_champion_whose_images_nobody_knows_is_said_so(
    layout: Layout, params: Params, registry: Registry, model_folder: Callable[[int], Path]
) -> None:
    for seed, percent in ((1, 60), (2, 100)):
        out = layout.root / f"results/{percent}"
        score_sharpener(layout, percent, out)
        version = register_candidate(layout, params, model_folder(seed), out).version
        gated = gate_version(layout, params, version)
        if seed == 1:
            assert gated.verdict.left_out == 0
            decisions.approve(layout, params, version, "Ada")
    assert gated.verdict.left_out is None
    assert gated.verdict.difference.n == len(_ids(layout))
    assert "An unknown past." in gated.report.read_text()
