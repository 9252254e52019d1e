"""Settings of different sections that do not agree, as the stage and the dry run say it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.layout import Layout
from catalog.settings.training import Network, Stage, Student
from tests.training.dataset import TINY, make_dataset
from training.agreement import warn_of_times
from training.plan import make_plan
from training.stage import Inputs, train_stage

STUDENT = Student.model_validate(TINY["student"])
STAGE = Stage.model_validate({**TINY["transfer"], "steps": 1})
ONE_STEP = "a model of one sampling step only ever sees t = 1"

Does = Callable[[Layout, Stage, Network], object]


def dry_run(layout: Layout, stage: Stage, network: Network) -> object:
    return make_plan(Inputs.of(layout, "transfer"), STUDENT, stage, network)


def whole_stage(layout: Layout, stage: Stage, network: Network) -> object:
    inputs, scratch = Inputs.of(layout, "transfer"), layout.scratch("transfer")
    return train_stage("transfer", inputs, layout.transfer, scratch, STUDENT, stage, network)


BOTH = pytest.mark.parametrize("does", [dry_run, whole_stage])


@BOTH
def test_other_times_than_the_one_that_is_sampled_are_warned_of(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], does: Does
) -> None:
    layout = Layout(tmp_path)
    make_dataset(layout, per_task=3)
    does(layout, STAGE, Network())
    said = capfd.readouterr().err
    assert ONE_STEP in said
    assert "set timesteps to one" in said
    does(layout, STAGE.model_copy(update={"timesteps": "one"}), Network())
    assert ONE_STEP not in capfd.readouterr().err


def test_who_samples_in_several_steps_needs_several_times(
    capfd: pytest.CaptureFixture[str],
) -> None:
    warn_of_times(STUDENT.model_copy(update={"sampling_steps": 4}), STAGE, Network())
    warn_of_times(STUDENT, STAGE, Network(family="step1x"))  # it has its own number of steps
    assert ONE_STEP not in capfd.readouterr().err
