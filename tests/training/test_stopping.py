"""SIGTERM in the middle of a validation, which takes minutes with a large model."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from catalog.errors import UserError
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
    best, wanted = (load_file(one.best / "model.safetensors") for one in (again, whole))
    assert all(torch.equal(best[name], value) for name, value in wanted.items())
    assert whole.progress.best_step == again.progress.best_step


def test_a_validation_that_fails_costs_no_step_and_one_that_was_made_is_not_made_again(
    tmp_path: Path,
) -> None:
    """A judge's server that is away, after hours of training."""
    settings = STAGE | {"checkpoint_every": 2}

    class Away(StudentTrainable):
        def restore(self, batch: Batch, steps: int) -> torch.Tensor:
            if own.progress.step == 2:
                raise UserError("The judge is away.", "Start it.")
            return super().restore(batch, steps)

    class Dies(StudentTrainable):
        def losses(self, batch: Batch, kind: Any) -> torch.Tensor:
            if torch.is_grad_enabled():
                begun.append(own.progress.step)
                if own.progress.step == 3:
                    own.checkpoints.wait()
                    raise KeyboardInterrupt
            return super().losses(batch, kind)

        def restore(self, batch: Batch, steps: int) -> torch.Tensor:
            validated.append(own.progress.step)
            return super().restore(batch, steps)

    begun: list[int] = []
    validated: list[int] = []
    own: Any = trainer(tmp_path / "one", Away, **settings)
    with pytest.raises(UserError, match="away"):
        own.run()
    for _ in range(2):
        own = trainer(tmp_path / "one", Dies, **settings)
        with pytest.raises(KeyboardInterrupt):
            own.run()
    assert set(begun) == {2, 3}, "steps 1 and 2 were not run again"
    assert set(validated) == {2}
    assert len(validated) == 9, "once, the second start had it"
    again, whole = trainer(tmp_path / "one", **settings), trainer(tmp_path / "two", **settings)
    assert again.run() == whole.run()


def test_the_best_model_is_that_of_the_recorded_step_after_a_kill(tmp_path: Path) -> None:
    """A step that is done again need not score as it did: other rounding, another answer."""
    settings = STAGE | {"steps": 6, "checkpoint_every": 3, "micro_batch": 0}
    gains = {0: 0.0, 2: 0.5, 4: 0.9, 6: 0.0}  # of the way from the degraded to the clean image
    kept: dict[int, dict[str, torch.Tensor]] = {}

    class Scored(StudentTrainable):
        def restore(self, batch: Batch, steps: int) -> torch.Tensor:
            state = self.model.state_dict()
            kept[own.progress.step] = {name: value.clone() for name, value in state.items()}
            return torch.lerp(batch.degraded, batch.clean, gains[own.progress.step])

        def losses(self, batch: Batch, kind: Any) -> torch.Tensor:
            if torch.is_grad_enabled() and own.progress.step == 4 and gains[4]:
                own.checkpoints.wait()
                raise KeyboardInterrupt
            return super().losses(batch, kind)

    own: Any = trainer(tmp_path, Scored, **settings)
    with pytest.raises(KeyboardInterrupt):
        own.run()
    assert own.progress.best_step == 4
    gains[4] = 0.0
    own = trainer(tmp_path, Scored, **settings)
    progress = own.run()
    assert progress.best_step == 2
    best = load_file(own.best / "model.safetensors")
    assert all(torch.equal(best[name], value) for name, value in kept[2].items())
    assert {path.name for path in own.scratch.glob("best-*")} == {"best-0000002"}


@pytest.mark.parametrize("torn", ["*.safetensors", "state.json"])
def test_a_torn_checkpoint_is_set_aside_for_the_one_before_it(tmp_path: Path, torn: str) -> None:
    settings = STAGE | {"checkpoint_every": 1, "keep_checkpoints": 2, "micro_batch": 0}

    class Dies(StudentTrainable):
        def losses(self, batch: Batch, kind: Any) -> torch.Tensor:
            if torch.is_grad_enabled() and own.progress.step == 3:
                own.checkpoints.wait()
                raise KeyboardInterrupt
            return super().losses(batch, kind)

    own: Any = trainer(tmp_path / "one", Dies, **settings)
    with pytest.raises(KeyboardInterrupt):
        own.run()
    (path,) = (own.scratch / "step-0000003").glob(torn)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    again, whole = (trainer(tmp_path / name, **settings) for name in ("one", "two"))
    assert again.run() == whole.run()
    assert (own.scratch / "broken-step-0000003").is_dir()
    kept = sorted(own.scratch.glob("step-*"))
    assert [path.name for path in kept] == ["step-0000003", "step-0000004"]
    for folder in kept:
        (path,) = folder.glob(torn)
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"No checkpoint in .* can be read"):
        trainer(tmp_path / "one", **settings).run()
