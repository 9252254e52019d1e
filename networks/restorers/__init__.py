"""Restorers by name: classical code, nothing at all, a released model, or a model's folder."""

from pathlib import Path

from networks.interfaces import Restorer
from networks.names import unknown

NAMES = ("classical", "identity", "real-esrgan")

MODEL_FILES = ("config.json", "model.safetensors")
"""What a folder must hold to be a model."""


def load_restorer(name: str, device: str | None = None) -> Restorer:
    """Load the restorer called `name`, one of `NAMES`, or the model in the folder `name`.

    "diffusers:PLACE?OPTIONS" is a released editing model as its own pipeline runs it, see
    `networks.restorers.pipelines`. `device` such as "cuda:1" is where it runs; None chooses.

    The folder is the small student's, a large editing model's (see networks.editing), or one of
    adapters on such a model; options of an editing model may follow: "FOLDER?steps=8&tiles=true".
    Raises `UserError` for another name and for a folder that is no model.
    """
    if name == "classical":
        from networks.restorers.classical import Classical

        return Classical()
    if name == "identity":
        from networks.restorers.identity import Unchanged

        return Unchanged()
    if name == "real-esrgan":
        from networks.restorers.real_esrgan import RealEsrgan

        return RealEsrgan.load()
    if name.startswith("diffusers:"):
        from networks.restorers.pipelines import load_pipeline

        return load_pipeline(name.removeprefix("diffusers:"), device)
    folder, _, options = name.partition("?")
    if Path(folder).is_dir():
        return _from_folder(Path(folder), options, device)
    raise unknown("restorer", name, NAMES, also=", diffusers:PLACE, or the folder of a model")


def _from_folder(folder: Path, options: str, device: str | None) -> Restorer:
    from catalog.errors import UserError
    from networks.editing.loading import is_editing, load_editing

    if is_editing(folder):
        return load_editing(folder, options, device)
    if options:
        raise UserError(
            f"The model in {folder} takes no options, but {options!r} follow its name.",
            "Leave them out; its config.json says how it is sampled.",
        )
    missing = [file for file in MODEL_FILES if not (folder / file).is_file()]
    if missing:
        raise UserError(
            f"The folder {folder} is no model: it has no {' and no '.join(missing)}.",
            "Name a folder that a training stage wrote, such as models/finetune.",
        )
    from networks.student import load_student

    return load_student(folder, device)
