"""Logs that can be followed while a run goes on, and what follows them."""

import json
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.training import Stage, Student
from evaluation.registry.store import Registry, connect
from flows.live_metrics import LiveMetrics
from tests.training.dataset import TINY, make_dataset
from training.live import LiveLog
from training.stage import Inputs, train_stage


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_log_is_readable_at_every_row_and_begins_anew(tmp_path: Path) -> None:
    log = LiveLog(tmp_path / "deep/training.jsonl")
    log.add({"step": 0})
    assert not log.path.exists()
    log.begin([{"step": 1}])
    log.add({"step": 2, "loss": 0.5})
    assert rows(log.path) == [{"step": 1}, {"step": 2, "loss": 0.5}]
    log.begin([{"step": 1}])
    log.add({"step": 2, "loss": 0.25})
    log.close()
    assert rows(log.path)[1:] == [{"step": 2, "loss": 0.25}]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return connect(Layout(tmp_path_factory.mktemp("store")), "mendline")


def history(registry: Registry, run: str, name: str) -> list[tuple[int, float]]:
    found = registry.client.get_metric_history(run, name)
    return sorted((metric.step, metric.value) for metric in found)


def test_a_run_that_is_not_there_is_said(registry: Registry) -> None:
    registry.check_run(registry.client.create_run(registry.experiment()).info.run_id)
    for wrong in ("0" * 32, "no/such run"):
        with pytest.raises(UserError, match=f"has no run '{wrong}'"):
            registry.check_run(wrong)


def test_a_stage_is_followed_and_every_step_sent_once(registry: Registry, tmp_path: Path) -> None:
    run = registry.client.create_run(registry.experiment()).info.run_id
    layout = Layout(tmp_path)
    make_dataset(layout, per_task=3)
    scratch = layout.scratch("transfer")
    scratch.mkdir(parents=True)
    (scratch / "training.jsonl").write_text('{"step": 7, "loss": 99.0}\n')  # of a run before
    with LiveMetrics(registry.client, run, "transfer", scratch, seconds=0.05):
        train_stage(
            "transfer",
            Inputs(layout.dataset, (layout.raw, layout.synthetic), None),
            layout.transfer,
            scratch,
            Student(**TINY["student"]),
            Stage(**{**TINY["transfer"], "steps": 4, "validate_every": 2}),
        )
    logged = rows(layout.transfer / "training.jsonl")
    assert history(registry, run, "transfer/loss") == [
        (row["step"], pytest.approx(row["loss"])) for row in logged
    ]
    assert [step for step, _ in history(registry, run, "transfer/validation/gain_db")] == [0, 2, 4]
    with (scratch / "training.jsonl").open("a") as file:
        file.write('{"step": 5, "loss": 1.5, "note": "x"}\n{"step": 6, "lo')
    again = LiveMetrics(registry.client, run, "transfer", scratch, seconds=60)
    with again:
        again._since = 0
    assert history(registry, run, "transfer/loss")[4:] == [(5, 1.5)]


def test_a_server_that_is_away_ends_nothing_and_gets_the_rows_later(
    registry: Registry, tmp_path: Path
) -> None:
    run = registry.client.create_run(registry.experiment()).info.run_id
    follower = LiveMetrics(registry.client, run, "finetune", tmp_path, seconds=60)
    with follower:
        (tmp_path / "training.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
        follower.run_id = "0" * 32  # no such run
        follower.send()
        follower.run_id = run
    assert history(registry, run, "finetune/loss") == [(1, 2.0)]
