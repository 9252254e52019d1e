"""The report as a browser shows it."""

import base64
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from catalog.degradations import Degradation
from catalog.layout import Layout
from catalog.settings import load_params
from catalog.settings.evaluation import Gate
from evaluation.benchmark import Item
from evaluation.gate import decide
from evaluation.pictures import picture_path, save_picture
from evaluation.report import Side, build_report
from evaluation.report.dropped import MAX_EXAMPLE_BYTES, Cause, Example, _within, dropped
from evaluation.scores import ImageScore, Provenance, ScoreTable
from evaluation.statistics import Agreement
from networks.interfaces import Identity
from tests.evaluation.browser import CHROMIUM, Page, chromium
from tests.evaluation.conftest import score_sharpener, work_tree
from tests.evaluation.curated import write_curation

EXTRAS = {
    "gmsd/v1@none+none": {
        "kind": "distance",
        "lower_is_better": True,
        "tasks": {
            "rain": {
                "degraded": None,
                "restored": {"estimate": 0.0815, "low": 0.07, "high": 0.09, "n": 4},
            },
            "overall": {
                "degraded": None,
                "restored": {"estimate": 0.0625, "low": None, "high": None, "n": 36},
            },
        },
    }
}
HOSTILE = '<script>document.title="taken"</script>.png'
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, benchmark_folder: Path) -> Layout:
    return work_tree(tmp_path_factory.mktemp("tree"), benchmark_folder)


@pytest.fixture(scope="module")
def page_text(tree: Layout) -> str:
    """A report of a candidate against a champion, with dropped images and a hostile file name."""
    write_curation(tree)
    params = load_params(tree.params)
    sides = []
    for name, percent in (("version 7", 300), ("champion version 5", 100)):
        folder = tree.root / f"results/{percent}"
        found = score_sharpener(tree, percent, folder)
        rows = tuple(
            replace(row, name=HOSTILE) if row.name == "blur/000.png" else row
            for row in found.table.rows
        )
        sides.append(Side(name, ScoreTable(found.table.provenance, rows), folder))
    candidate, champion = sides
    verdict = decide(
        candidate.table, champion.table, found.repeat, params.gate, champion.name, ["ab" * 32]
    )
    return build_report(
        candidate,
        champion,
        verdict,
        found.repeat,
        {HOSTILE: "restorer-failed: <b>"},
        dropped(tree),
        {"Commit": "abc", "Judge": candidate.table.provenance.judge},
        EXTRAS,
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def page(browser: Page, page_text: str, tmp_path: Path) -> Iterator[Page]:
    (tmp_path / "report.html").write_text(page_text)
    browser.open(tmp_path / "report.html")
    yield browser
    browser.send("Emulation.setEmulatedMedia", media="", features=[])
    browser.send("Emulation.clearDeviceMetricsOverride")


def test_the_first_line_has_the_verdict_and_why(page_text: str) -> None:
    heading = page_text.split("<h1>")[1].split("</h1>")[0]
    assert "inconclusive" in heading
    assert "learned from 1 taken-down image" in heading
    assert page_text.index("Proxy scores.") < page_text.index("By task")
    assert page_text.index("A small gate.") < page_text.index("By task")
    assert "min_images 12 (for the benchmark 400)" in page_text


def test_the_page_is_small_whole_and_says_proxy(page_text: str) -> None:
    assert len(page_text.encode()) < 20_000_000
    assert "http://" not in page_text and "https://" not in page_text
    assert HOSTILE not in page_text
    assert "proxy_fs" in page_text
    assert "Not comparable" in page_text


def test_second_opinions_stand_apart_from_the_score(page_text: str) -> None:
    shown = page_text.split('id="extras"')[1].split('id="outcomes"')[0]
    assert "no say in the verdict" in shown
    assert "0.082" in shown and "0.070 to 0.090" in shown and "0.062" in shown


def test_a_full_report_of_large_pictures_stays_below_20_mb(tmp_path: Path) -> None:
    # Noise is what JPEG compresses least: the pictures of 40 images a task are 40 MB.
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (640, 640, 3), dtype=np.uint8) for _ in range(3)]
    rows = tuple(
        ImageScore(f"{n:064d}", f"{task}/{n}.png", task, "scored", 2.0, 3.0, 0.2)
        for task in Degradation
        for n in range(5)
    )
    network = Identity("n", "1")
    table = ScoreTable(Provenance.of(network, network, network, "b", "d"), rows)
    for row in rows[:: len(rows) // 9]:
        item = Item(row.image_id, row.name, row.degradation)
        for side, picture in zip(("degraded", "restored"), noise, strict=False):
            save_picture(tmp_path, item, side, picture, 640)
    for row in rows:
        for side in ("degraded", "restored"):
            path = tmp_path / picture_path(row.degradation, row.image_id, side)
            if not path.exists():
                first = picture_path(rows[0].degradation, rows[0].image_id, side)
                path.hardlink_to(tmp_path / first)
    causes = [
        Cause("screen", f"reason {n}", 9, [Example("x" * 20_000, "", "y" * 20_000)] * 6)
        for n in range(60)
    ]
    candidate, champion = Side("version 2", table, tmp_path), Side("version 1", table, tmp_path)
    verdict = decide(table, table, Agreement(60, 1.0, 1.0), Gate(bootstrap=100, permutations=100))
    kept = _within(causes, MAX_EXAMPLE_BYTES)
    assert all(cause.examples for cause in kept), "each cause keeps its first example"
    assert len(kept[0].examples) < 6
    page = build_report(candidate, champion, verdict, Agreement(60, 1.0, 1.0), {}, kept, {})
    assert 15_000_000 < len(page.encode()) < 20_000_000
    assert page.count('<figure class="case">') >= 9, "each task shows its worst image"


def test_what_was_dropped_is_shown_with_its_reason(page_text: str) -> None:
    shown = page_text.split('id="dropped"')[1].split('id="published"')[0]
    for word in (
        "robots",
        "perceptual copy",
        "watermark",
        "content moved",
        "matches the benchmark",
    ):
        assert word in shown, word
    assert shown.count('src="data:image/jpeg') >= 6


def test_the_worst_image_comes_first(page_text: str, tree: Layout) -> None:
    new, old = (ScoreTable.read(tree.root / f"results/{p}/scores.parquet") for p in (300, 100))
    pairs = [
        (mine.signed - theirs.signed, mine.name)
        for mine, theirs in zip(new.rows, old.rows, strict=True)
        if mine.degradation == "rain"
    ]
    shown = page_text.split('id="case-rain"')[1]
    assert shown.split('class="name" title="')[1].startswith(min(pairs)[1])


@needs_chromium
def test_it_opens_without_a_network_and_without_errors(page: Page) -> None:
    requests = [
        event["params"]["request"]["url"]
        for event in page.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert all(url.startswith(("file:", "data:")) for url in requests)
    assert not [e for e in page.events if e.get("method") == "Runtime.exceptionThrown"]
    assert not [e for e in page.events if e.get("method") == "Log.entryAdded"]
    assert page.run("document.title").startswith("Inconclusive: version 7")
    broken = "[...document.images].filter(i => !i.hidden && !i.naturalWidth).length"
    assert page.run(broken) == 0


@needs_chromium
def test_the_slider_and_the_button_work_by_keyboard(page: Page) -> None:
    page.run("document.querySelector('.stage input').focus()")
    cut = "getComputedStyle(document.querySelector('.stage')).getPropertyValue('--cut')"
    assert page.run(cut) == "50%"
    page.press("ArrowRight", 39)
    page.press("ArrowRight", 39)
    assert page.run(cut) == "52%"
    page.press("Home", 36)
    assert page.run(cut) == "0%"
    clip = "getComputedStyle(document.querySelector('.stage .left')).clipPath"
    assert "100%" in page.run(clip)

    page.run("document.querySelector('button[data-other]').focus()")
    shown = (
        "[...document.querySelector('.stage .left').querySelectorAll('img')]"
        ".filter(i => !i.hidden).map(i => i.dataset.side).join()"
    )
    assert page.run(shown) == "degraded"
    page.press(" ", 32, " ")
    assert page.run(shown) == "champion"
    assert page.run("document.querySelector('.tag.l').textContent") == "champion"
    page.press(" ", 32, " ")
    assert page.run(shown) == "degraded"


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_by_axe(page: Page, scheme: str) -> None:
    spec = importlib.util.find_spec("axe_core_python")
    assert spec is not None and spec.submodule_search_locations
    axe = Path(spec.submodule_search_locations[0]) / "axe.min.js"
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.send("Emulation.setEmulatedMedia", features=features)
    page.run(axe.read_text("utf-8") + ";0")
    found = page.run(
        "axe.run().then(r => JSON.stringify(r.violations.map(v => "
        "[v.id, v.nodes.slice(0, 3).map(n => n.html.slice(0, 120))])))"
    )
    assert json.loads(found) == []


@needs_chromium
def test_it_prints_with_both_pictures_side_by_side(page: Page) -> None:
    page.send("Emulation.setEmulatedMedia", media="print")
    boxes = page.run(
        "JSON.stringify([...document.querySelector('.stage').querySelectorAll('img')]"
        ".filter(i => !i.hidden).map(i => {const b = i.getBoundingClientRect();"
        " return [b.left, b.width]}))"
    )
    (first, width), (second, other) = sorted(json.loads(boxes))
    assert second >= first + width > first and width == pytest.approx(other, abs=2)
    pdf = base64.b64decode(page.send("Page.printToPDF")["data"])
    assert pdf.startswith(b"%PDF")


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_but_tables_is_wider_than_the_window(page: Page, width: int) -> None:
    page.send(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=900,
        deviceScaleFactor=1,
        mobile=width < 800,
    )
    assert page.run("document.documentElement.scrollWidth") <= width
