"""The small diffusion transformer of the recipe's class: model, sampler, Restorer."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from networks.interfaces import Restorer

STARTER = Path(__file__).parent / "starter"
"""Folder of the starter weights that the package ships."""


def load_student(folder: Path | str, device: str | None = None) -> "Restorer":
    """The model of `folder` (config.json, model.safetensors) as a Restorer.

    Its identity is over both. Raises `UserError` when the folder is no such
    model.
    """
    from networks.student.restorer import StudentRestorer

    return StudentRestorer.from_folder(Path(folder), device)
