"""At which times a validation measures losses."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.test_memory import trainer
from training.batches import Batch
from training.trainable import StudentTrainable


@pytest.mark.parametrize(("timesteps", "expected"), [("one", {1.0}), ("uniform", {0.2, 0.5, 0.8})])
def test_losses_are_measured_where_the_model_is_trained(
    tmp_path: Path, timesteps: str, expected: set[float]
) -> None:
    """A model of t = 1 alone says nothing at other times, and its curve would show that nothing."""
    given: set[float] = set()

    class Notes(StudentTrainable):
        def losses(self, batch: Batch, kind: Any) -> torch.Tensor:
            if not torch.is_grad_enabled():
                given.update(round(t, 4) for t in batch.t.tolist())
            return super().losses(batch, kind)

    rows = trainer(tmp_path, Notes, timesteps=timesteps).run().validations
    assert given == expected
    for row in rows:
        by_time = [value for name, value in row.items() if name.startswith("loss_t")]
        assert {f"loss_t{t:g}" for t in expected} <= set(row)
        assert len(by_time) == len(expected)
        assert row["loss"] == pytest.approx(sum(by_time) / len(by_time))
