"""Registering, the gate, and the decisions of people, on a real SQLite store."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.layout import Layout
from catalog.settings import Params
from evaluation.registry import decisions
from evaluation.registry.gating import gate_version
from evaluation.registry.register import Candidate, register_candidate
from evaluation.registry.store import connect

Register = Callable[[int, int], Candidate]


@pytest.fixture
def register(
    layout: Layout, params: Params, run_score: Callable, model_folder: Callable[[int], Path]
) -> Register:
    """Register a model whose scores are those of a Sharpener of `percent`."""

    def make(seed: int, percent: int) -> Candidate:
        out = layout.root / f"results/evaluation-{seed}-{percent}"
        run_score(percent, out)
        return register_candidate(layout, params, model_folder(seed), out)

    return make


def test_the_way_of_two_versions(layout: Layout, params: Params, register: Register) -> None:
    first = register(1, 100)
    gated = gate_version(layout, params, first.version)
    assert gated.verdict.verdict == "promote", gated.verdict.reasons
    assert gated.champion_seen is None
    assert hashlib.sha256(gated.report.read_bytes()).hexdigest() == gated.report_sha256
    record = decisions.approve(layout, params, first.version, "Ada")
    assert (record.champion_before, record.champion_after) == ("none", "1")

    second = register(2, 300)
    assert gate_version(layout, params, second.version).verdict.verdict == "promote"
    decisions.approve(layout, params, second.version, "Ada")
    registry = connect(layout, params.gate.model_name)
    assert registry.aliases() == {"champion": "2", "previous": "1"}

    decisions.rollback(layout, params, "Ben", "haze got worse")
    assert registry.aliases() == {"champion": "1"}
    kinds = [(r.kind, r.version, r.by) for r in decisions.records(registry)]
    assert kinds == [("approve", "1", "Ada"), ("approve", "2", "Ada"), ("rollback", "1", "Ben")]
