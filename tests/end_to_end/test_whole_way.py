"""The whole way at a smaller size: from URLs to a gated candidate, killed twice in the middle.

Each run is a process of its own (small.py), as a person would start it. What the tests look at is
the tree of the run that was killed; a run without a kill, for comparison, is `slow`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from catalog import schemas
from catalog.degradations import Degradation
from catalog.layout import Layout
from catalog.shards import ShardStore
from catalog.tables import read_table

SMALL = Path(__file__).with_name("small.py")
ROOT = Path(__file__).parents[2]
_LONGEST = 800.0
"""Seconds that one run may take; alone on two cores it takes about one minute."""
_METRICS = "results/metrics/*.json"
_KILLED_AT = ("Running stage 'deduplicate'", "Running stage 'transfer'")

# The first test makes the run that the others look at.
pytestmark = pytest.mark.timeout(1800)

MENDLINE = Path(sys.executable).with_name("mendline")


def _start(tree: Path, out: Path) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_TRACK"))}
    return subprocess.Popen(
        [sys.executable, str(SMALL), str(tree), str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def _run(tree: Path, out: Path) -> dict[str, Any]:
    process = _start(tree, out)
    try:
        _, errors = process.communicate(timeout=_LONGEST)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return json.loads(out.read_text())


def _dvc(tree: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=tree,
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _wait(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + _LONGEST
    while not condition():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline, "it did not come that far"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, dict[str, Any]]:
    """The work tree of a run that was killed, started, killed again, and started again."""
    folder = tmp_path_factory.mktemp("whole")
    tree = Layout(folder / "tree")
    log = tree.root / ".mendline/logs/dvc-repro.log"
    for moment in _KILLED_AT:
        process = _start(tree.root, folder / "result.json")
        _wait(lambda moment=moment: log.exists() and moment in log.read_text(), process)  # type: ignore[misc]
        children = psutil.Process(process.pid).children(recursive=True)
        commands = [" ".join(child.cmdline()) for child in children]
        assert any("supervise" in command for command in commands)
        assert any("uvicorn" in command for command in commands), "Prefect's own server"
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        _, left = psutil.wait_procs(children, timeout=30)
        assert not [child for child in left if child.status() != psutil.STATUS_ZOMBIE]
    return tree, _run(tree.root, folder / "result.json")


def _outcomes(layout: Layout) -> list[dict[str, Any]]:
    return [
        row
        for path in layout.raw.glob("*/outcomes.parquet")
        for row in read_table(path, schemas.OUTCOMES).to_pylist()
    ]


def test_it_ends_with_a_gated_candidate_and_a_report(
    finished: tuple[Layout, dict[str, Any]],
) -> None:
    layout, result = finished
    assert result["version"] == "1"
    assert result["verdict"] in ("promote", "reject", "inconclusive")
    page = Path(result["report"]).read_text("utf-8")
    assert result["verdict"] in page
    assert list((layout.root / ".mendline/remote").rglob("*")), "nothing was pushed"
    log = subprocess.run(
        ["git", "log", "-1", "--format=%H %s", "--", "dvc.lock"],
        cwd=layout.root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert log.startswith(result["commit"])
    assert "Refresh: " in log
    status = subprocess.run(
        ["git", "status", "--porcelain"],
        cwd=layout.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert status.stdout == ""


def test_every_url_has_an_outcome_and_traps_are_not_stored(
    finished: tuple[Layout, dict[str, Any]],
) -> None:
    layout, _ = finished
    rows = _outcomes(layout)
    for part in ("/members/", "/gone/", "/login/", "/cut/", "/bombs/", "/no-ai/", "/slow/"):
        here = [row for row in rows if part in row["url"]]
        assert here, part
        assert not [row for row in here if row["image_id"]], part
    private = [row for row in rows if "/tracking/" in row["url"]]
    assert {row["outcome"] for row in private} == {"address-refused"}
    assert all(row["image_id"] for row in rows if "/moved/" in row["url"])
    licences = {row["license"] for row in rows if row["outcome"] == "stored"}
    assert "CC-BY-2.0" in licences


def test_nothing_of_the_benchmark_or_with_a_watermark_is_learned_from(
    finished: tuple[Layout, dict[str, Any]],
) -> None:
    layout, _ = finished
    learned = {
        row[side]
        for row in pq.read_table(layout.dataset / "pairs.parquet").to_pylist()
        for side in ("degraded_id", "clean_id")
    }
    rows = _outcomes(layout)
    planted = {row["image_id"] for row in rows if "/planted/" in row["url"]}
    assert planted
    assert not planted & learned
    assert learned
    names = {path.parent.name for path in layout.benchmark.glob("*/*.png")}
    assert names == {degradation.value for degradation in Degradation}


def test_a_second_repro_does_nothing_in_under_five_seconds(
    finished: tuple[Layout, dict[str, Any]],
) -> None:
    layout, _ = finished
    started = time.monotonic()
    text = _dvc(layout.root, "repro")
    assert time.monotonic() - started < 5
    assert "Running stage" not in text
    assert "didn't change, skipping" in text


def test_a_second_demo_uses_what_is_there(
    tmp_path: Path, finished: tuple[Layout, dict[str, Any]]
) -> None:
    layout, first = finished
    second = _run(layout.root, tmp_path / "second.json")
    assert (second["ran"], second["outcomes"]) == ([], {})
    for key in ("version", "commit", "verdict", "report"):
        assert second[key] == first[key]


@pytest.mark.parametrize(
    ("section", "key", "value", "first"),
    [("gate", "min_difference", 0.02, None), ("assemble", "max_per_group", 39, "assemble")],
)
def test_a_changed_setting_touches_only_what_depends_on_it(
    finished: tuple[Layout, dict[str, Any]],
    section: str,
    key: str,
    value: float,
    first: str | None,
) -> None:
    import yaml

    layout, _ = finished
    before = layout.params.read_text()
    content = yaml.safe_load(before)
    assert content[section][key] != value
    content[section][key] = value
    try:
        layout.params.write_text(yaml.safe_dump(content, sort_keys=False))
        would_run = _dvc(layout.root, "status", "--json")
        changed = sorted(json.loads(would_run)) if would_run.strip() else []
        assert changed == ([first] if first else [])
    finally:
        layout.params.write_text(before)


def test_metrics_and_plots_are_shown(finished: tuple[Layout, dict[str, Any]]) -> None:
    layout, _ = finished
    shown = json.loads(_dvc(layout.root, "metrics", "show", "--json"))
    files = shown[""]["data"]
    assert "results/metrics/finetune.json" in files
    assert files["results/metrics/deduplicate.json"]["data"]["rows_in"] > 0
    page = _dvc(layout.root, "plots", "show", "--out", str(layout.root / ".mendline/plots"))
    assert Path(page.strip().splitlines()[-1].removeprefix("file://")).exists()


def test_trace_leads_from_a_url_to_the_model(finished: tuple[Layout, dict[str, Any]]) -> None:
    layout, result = finished
    pairs = pq.read_table(layout.dataset / "pairs.parquet").to_pylist()
    stored = {row["image_id"]: row["url"] for row in _outcomes(layout) if row["image_id"]}
    learned = next(
        row[side]
        for row in pairs
        for side in ("degraded_id", "clean_id")
        if row["split"] == "train" and row[side] in stored
    )
    done = subprocess.run(
        [str(MENDLINE), "trace", stored[learned], "--json", "--workspace", str(layout.root)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["image_id"] == learned
    assert [row["version"] for row in found["versions"]] == [result["version"]]
    assert found["pairs"]
    assert found["dataset"]


def test_a_run_killed_in_the_middle_lost_and_doubled_nothing(
    finished: tuple[Layout, dict[str, Any]],
) -> None:
    layout, result = finished
    assert result["outcomes"] == {}, "what was collected before the kill is collected again"
    assert result["ran"][0] == "transfer", "what was done before the kill is done again"
    ids = list(ShardStore(layout.raw).ids())
    assert len(ids) == len(set(ids))
    rows = _outcomes(layout)
    asked = (layout.root / ".mendline/urls.csv").read_text().splitlines()[1:]
    assert len(rows) == len({row["url_key"] for row in rows}) == len(asked)
    assert set(ids) == {row["image_id"] for row in rows if row["image_id"]}
    assert len(_learned(layout)) == len(set(_learned(layout)))
    # Every stage saw all that the one before it has left.
    counts = {path.stem: json.loads(path.read_text()) for path in layout.root.glob(_METRICS)}
    for stage in ("hash", "embed", "deduplicate", "screen"):
        assert counts[stage]["rows_in"] == len(ids), stage
    assert layout.finetune.joinpath("model.safetensors").exists()


@pytest.mark.slow
def test_a_run_that_nobody_killed_learns_from_the_same(
    tmp_path: Path, finished: tuple[Layout, dict[str, Any]]
) -> None:
    killed, _ = finished
    whole = Layout(tmp_path / "tree")
    result = _run(whole.root, tmp_path / "result.json")
    assert result["version"] == "1"
    assert Counter(row["outcome"] for row in _outcomes(whole)) == Counter(result["outcomes"])
    assert _learned(whole) == _learned(killed)
    assert sorted(ShardStore(whole.raw).ids()) == sorted(ShardStore(killed.raw).ids())


def _learned(layout: Layout) -> list[tuple[str, str]]:
    rows = pq.read_table(layout.dataset / "pairs.parquet").to_pylist()
    return sorted((row["pair_id"], row["split"]) for row in rows)
