"""Which editing model a folder holds."""

import json
from pathlib import Path

import torch

from catalog.errors import UserError
from networks.editing.base import Editor

INDEX = "model_index.json"
_CLASSES = {
    "RealRestorerPipeline": "step1x",
    "FluxKontextPipeline": "flux-kontext",
    "QwenImageEditPipeline": "qwen-image-edit",
}


def family_of(folder: Path) -> str | None:
    """step1x, flux-kontext or qwen-image-edit; None for a folder that is none of them."""
    from networks.step1x.places import is_step1x

    if (folder / INDEX).is_file():
        try:
            name = json.loads((folder / INDEX).read_text("utf-8")).get("_class_name")
        except (ValueError, AttributeError) as error:
            raise UserError(
                f"{folder / INDEX} is not JSON: {error}.", "Download it again."
            ) from error
        if name not in _CLASSES:
            raise UserError(
                f"{folder} is of {name}, which is not known here.",
                f"Known are {', '.join(_CLASSES)}, and Step1X-Edit's single files.",
            )
        return _CLASSES[name]
    return "step1x" if is_step1x(folder) else None


def open_editor(
    folder: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    offload: bool = False,
    target: torch.device | str | None = None,
) -> Editor:
    """The editing model in `folder`. Raises `UserError`. See `Step1XEditor.open`."""
    family = family_of(folder)
    if family == "step1x":
        from networks.step1x.editor import Step1XEditor

        return Step1XEditor.open(folder, device, dtype, offload, target)
    if family == "flux-kontext":
        from networks.editing.kontext import KontextEditor

        return KontextEditor.open(folder, device, dtype, offload, target)
    if family == "qwen-image-edit":
        from networks.editing.qwen_image import QwenImageEditor

        return QwenImageEditor.open(folder, device, dtype, offload, target)
    raise UserError(
        f"The folder {folder} holds no editing model.",
        "Name one with model_index.json, or with step1x-edit*.safetensors and its other parts.",
    )
