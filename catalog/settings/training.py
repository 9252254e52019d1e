"""Settings of the model and its two training stages."""

from catalog.settings.base import Settings


class Student(Settings):
    """The architecture that is trained."""


class Stage(Settings):
    """One training stage: transfer or finetune."""

    seed: int = 0
