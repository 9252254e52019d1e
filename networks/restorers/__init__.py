"""Restorers by name: classical code, nothing at all, or a trained model's folder."""

from pathlib import Path

from networks.interfaces import Restorer
from networks.names import unknown

NAMES = ("classical", "identity")

MODEL_FILES = ("config.json", "model.safetensors")
"""What a folder must hold to be a model."""


def load_restorer(name: str) -> Restorer:
    """Load the restorer called `name`, one of `NAMES`, or the model in the folder `name`.

    Raises `UserError` for another name and for a folder that is no model.
    """
    if name == "classical":
        from networks.restorers.classical import Classical

        return Classical()
    if name == "identity":
        from networks.restorers.identity import Unchanged

        return Unchanged()
    folder = Path(name)
    if folder.is_dir():
        missing = [file for file in MODEL_FILES if not (folder / file).is_file()]
        if missing:
            from catalog.errors import UserError

            raise UserError(
                f"The folder {folder} is no model: it has no {' and no '.join(missing)}.",
                "Name a folder that a training stage wrote, such as models/finetune.",
            )
        from networks.student import load_student

        return load_student(folder)
    raise unknown("restorer", name, NAMES, also=", or the folder of a trained model")
