"""Whether settings of different sections agree; looked at before anything is computed."""

from catalog.errors import UserError
from catalog.log import logger
from catalog.settings.training import SMALLEST_CROP, Network, Stage, Student
from networks.editing.base import Editor


def require_whole_patches(student: Student, stage: Stage, network: Network) -> None:
    """Raises `UserError` for a crop, and so for buckets of its area, that patches do not fill."""
    own = network.family == "student"
    multiple = student.patch if own else Editor.multiple
    below = stage.crop // multiple * multiple
    if below == stage.crop:
        return
    near = [str(side) for side in (below, below + multiple) if side >= SMALLEST_CROP]
    whose = (
        f"{multiple}, which is student.patch" if own else f"{multiple}, as {network.family} asks"
    )
    raise UserError(
        f"crop {stage.crop} is not a multiple of {whose}.", f"Set crop to {' or '.join(near)}."
    )


def warn_of_times(student: Student, stage: Stage, network: Network) -> None:
    """Say in the log where a student is trained at other times than those it is sampled at.

    Not an error: another number of steps than it was trained for is a thing one may try.
    """
    if network.family != "student":
        return
    if student.sampling_steps > 1 and stage.timesteps == "one":
        logger(__name__).warning(
            "a model trained at t = 1 alone is sampled in several steps, at times it never saw; "
            "set student.sampling_steps to 1, or timesteps to another",
            sampling_steps=student.sampling_steps,
        )
    if student.sampling_steps == 1 and stage.timesteps != "one":
        logger(__name__).warning(
            "a model of one sampling step only ever sees t = 1, and is trained at other times too; "
            "set timesteps to one, or student.sampling_steps to more than 1",
            timesteps=stage.timesteps,
        )
