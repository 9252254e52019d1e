"""Settings of different sections that do not agree, as the stage and the dry run say it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.training import Network, Stage, Student
from tests.training.dataset import TINY, make_dataset
from training.plan import make_plan
from training.settings_check import require_whole_patches, warn_of_times
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


@BOTH
@pytest.mark.parametrize(
    ("family", "shape", "said"),
    [
        ("student", {"crop": 100}, ("crop 100", "8, which is student.patch", "96 or 104")),
        ("student", {"crop": 90, "shapes": "buckets"}, ("crop 90", "student.patch", "88 or 96")),
        ("step1x", {"crop": 40}, ("crop 40", "16, as step1x asks", "32 or 48")),
        ("qwen-image-edit", {"crop": 1000, "shapes": "buckets"}, ("1000", "16", "992 or 1008")),
    ],
)
def test_a_crop_of_broken_patches_is_refused_with_the_nearest_whole_ones(
    tmp_path: Path, does: Does, family: str, shape: dict[str, object], said: tuple[str, ...]
) -> None:
    """Before the dataset or an editing model is looked for: neither is there."""
    stage = STAGE.model_copy(update={**shape, "micro_batch": 1})
    network = Network.model_validate({"family": family})
    with pytest.raises(UserError) as caught:
        does(Layout(tmp_path), stage, network)
    assert all(words in str(caught.value) for words in said)
    assert not list(tmp_path.iterdir())


def test_no_side_is_proposed_that_the_settings_refuse() -> None:
    wide = STUDENT.model_copy(update={"patch": 32})
    with pytest.raises(UserError, match=r"Set crop to 32\.$"):
        require_whole_patches(wide, STAGE.model_copy(update={"crop": 24}), Network())
    for crop in (32, 96):
        require_whole_patches(wide, STAGE.model_copy(update={"crop": crop}), Network())


def test_who_samples_in_several_steps_needs_several_times(
    capfd: pytest.CaptureFixture[str],
) -> None:
    several = STUDENT.model_copy(update={"sampling_steps": 4})
    warn_of_times(several, STAGE, Network())
    warn_of_times(STUDENT, STAGE, Network(family="step1x"))  # it has its own number of steps
    assert ONE_STEP not in capfd.readouterr().err
    at_one = STAGE.model_copy(update={"timesteps": "one"})
    warn_of_times(STUDENT, at_one, Network())
    assert "t = 1 alone" not in capfd.readouterr().err
    warn_of_times(several, at_one, Network())
    assert "student.sampling_steps to 1" in capfd.readouterr().err
