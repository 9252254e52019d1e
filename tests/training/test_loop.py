"""What training in this process gains, and what ends it."""

import json
from pathlib import Path

import pytest

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.layout import Layout
from tests.training.dataset import make_dataset, train


def test_training_gains_on_images_it_did_not_see(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    make_dataset(layout)
    counts = train(
        layout,
        steps=120,
        learning_rate=2e-3,
        loss="psnr",
        ema=0.9,
        validate_every=60,
        validation_pairs=2,
    )
    assert counts.extra["best"]["gain_db"] > 0.5
    rows = [json.loads(line) for line in (layout.transfer / "validation.jsonl").open()]
    assert rows[0]["gain_db"] == pytest.approx(0, abs=1e-6)  # untrained: nothing is changed
    assert max(row["gain_db"] for row in rows) == counts.extra["best"]["gain_db"]


def test_patience_stops_a_run_that_gets_no_better(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    make_dataset(layout)
    counts = train(layout, learning_rate=0.05, validate_every=2, patience=2)
    assert counts.extra["steps"] == 4
    assert counts.extra["best"]["step"] == 0


def test_a_missing_task_is_reported_or_an_error(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    make_dataset(layout, tasks=tuple(task for task in Degradation if task != "moire"))
    assert train(layout, steps=2).extra["missing_tasks"] == ["moire"]
    with pytest.raises(UserError, match="no training pair for moire"):
        train(layout, missing_task="error")


def test_a_loss_that_is_not_finite_names_the_images_and_keeps_the_last_state(
    tmp_path: Path,
) -> None:
    layout = Layout(tmp_path)
    make_dataset(layout)
    with pytest.raises(UserError, match=r"Degraded images of the batch: [0-9a-f]{64}") as caught:
        train(layout, checkpoint_every=1, learning_rate=1e38)
    assert "learning_rate" in caught.value.remedy
    kept = list(layout.scratch("transfer").glob("*/step-*"))
    assert len(kept) == 1
    assert f"the checkpoint of step {int(kept[0].name[5:])} is kept" in caught.value.what
    assert not layout.transfer.exists()
