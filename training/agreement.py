"""Whether settings of different sections agree; looked at before anything is computed."""

from catalog.log import logger
from catalog.settings.training import Network, Stage, Student


def warn_of_times(student: Student, stage: Stage, network: Network) -> None:
    """Say in the log where a student of one sampling step is trained at times it never sees.

    Not an error: fewer steps than it was trained for is a thing one may try.
    """
    if network.family == "student" and student.sampling_steps == 1 and stage.timesteps != "one":
        logger(__name__).warning(
            "a model of one sampling step only ever sees t = 1, and is trained at other times too; "
            "set timesteps to one, or student.sampling_steps to more than 1",
            timesteps=stage.timesteps,
        )
