"""The commands of the person who decides."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catalog.layout import Layout
from catalog.settings import Params
from evaluation.registry.register import register_candidate
from evaluation.registry.store import Registry
from flows.cli import mendline
from tests.evaluation.conftest import score_sharpener


@pytest.fixture
def call(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`mendline ...` inside the work tree, on a wide terminal."""
    monkeypatch.chdir(layout.root)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(mendline, arguments)

    return run


def test_from_review_to_rollback_and_the_leaderboard(
    layout: Layout,
    params: Params,
    registry: Registry,
    model_folder: Callable[[int], Path],
    call: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "No version is registered" in call("leaderboard").output
    for seed, percent in ((1, 100), (2, 300)):
        out = layout.root / f"results/{percent}"
        score_sharpener(layout, percent, out)
        register_candidate(layout, params, model_folder(seed), out)
    assert "not gated yet" in call("review").output

    gated = call("review", "--gate", "1")
    assert gated.exit_code == 0, gated.output
    assert "Version 1: promote" in gated.output
    assert "mendline-v1.html" in gated.output.replace("\n", "")
    assert "version 1 is the champion" in call("approve", "1", "--by", "Ada").output.lower()
    assert "champion has changed" not in call("review").output

    call("review", "--gate", "2")
    rejected = call("reject", "2", "--by", "Ben", "--reason", "over-sharp")
    assert "Entry 2, by Ben" in rejected.output
    assert "over-sharp" in call("review", "--log").output
    assert "mendline-v2.html" not in call("review").output.replace("\n", "")
    missing = call("rollback", "--by", "Ben")
    assert missing.exit_code == 1 and "no previous champion" in str(missing.exception)

    board = call("leaderboard", "--also", "results/300", "--out", "board.html")
    assert board.exit_code == 0, board.output
    lines = [line for line in board.output.splitlines() if "version" in line or "300" in line]
    assert "version 1 @champion" in lines[-1], "the best is first, the weaker champion last"
    assert "not comparable with published FS" in board.output
    page = (layout.root / "board.html").read_text()
    assert "version 2" in page
    assert "width=device-width" in page and "overflow-x: auto" in page, "a telephone can read it"
    monkeypatch.setenv("COLUMNS", "80")
    assert "…" not in call("leaderboard").output, "figures are cut"
    monkeypatch.delenv("COLUMNS")
    assert max(map(len, call("review", "--all").output.splitlines())) == 200, "as in a pipe"
