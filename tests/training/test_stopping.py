"""SIGTERM in the middle of a validation, which takes minutes with a large model."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.test_memory import trainer
from training.batches import Batch
from training.trainable import StudentTrainable

STAGE = {"steps": 4, "validate_every": 2, "checkpoint_every": 4, "micro_batch": 1, "warmup": 1}


@pytest.mark.parametrize("step", [0, 2, 4])
def test_a_validation_is_left_for_the_next_start(tmp_path: Path, step: int) -> None:
    """Nothing is lost, and rows and weights are those of a run that was not stopped."""
    restored: list[int] = []

    class Stopped(StudentTrainable):
        def restore(self, batch: Batch, steps: int) -> torch.Tensor:
            restored.append(own.progress.step)
            if restored.count(step) == 2 and len(restored) < 100:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().restore(batch, steps)

    own: Any = trainer(tmp_path / "one", Stopped, **STAGE)
    with pytest.raises(SystemExit) as caught:
        own.run()
    assert caught.value.code == 128 + signal.SIGTERM
    assert restored.count(step) == 2, "the other pairs were not begun"
    again = trainer(tmp_path / "one", **STAGE)
    progress = again.run()
    whole = trainer(tmp_path / "other", **STAGE)
    expected = whole.run()
    assert progress.log == expected.log
    assert progress.validations == expected.validations
    best, wanted = (load_file(one.scratch / "best/model.safetensors") for one in (again, whole))
    assert all(torch.equal(best[name], value) for name, value in wanted.items())
    assert whole.progress.best_step == again.progress.best_step
