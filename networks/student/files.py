"""A model folder: config.json and model.safetensors."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from catalog.digests import read_digest
from catalog.errors import UserError
from catalog.files import write_json
from catalog.settings.base import explain
from catalog.settings.training import Architecture
from networks.interfaces import Identity
from networks.student.model import INSTRUCTIONS, StudentDiT

FORMAT = "mendline-student/1"
CONFIG = "config.json"
WEIGHTS = "model.safetensors"


def save_student(
    model: StudentDiT, folder: Path, weights: dict[str, torch.Tensor] | None = None
) -> None:
    """Write config.json and model.safetensors (float32) into an existing `folder`.

    `weights` stands in for the model's own state (such as its moving average).
    """
    architecture = Architecture(
        **{name: getattr(model.architecture, name) for name in Architecture.model_fields}
    )
    write_json(
        folder / CONFIG,
        {
            "format": FORMAT,
            "architecture": architecture.model_dump(mode="json"),
            "instructions": [str(name) for name in INSTRUCTIONS],
        },
    )
    state = weights if weights is not None else model.state_dict()
    save_file(
        {name: tensor.detach().float().cpu().contiguous() for name, tensor in state.items()},
        folder / WEIGHTS,
    )


def weights_hash(folder: Path) -> str:
    """SHA-256 of the folder's weights file."""
    return read_digest(folder / WEIGHTS)


def student_identity(folder: Path) -> Identity:
    """Weights by their hash and, as the prompt, config.json: other steps or tiles of a sampling
    give other images. Raises `UserError`.
    """
    name, version = FORMAT.split("/")
    how = json.dumps(read_architecture(folder).model_dump(mode="json"), sort_keys=True)
    prompt = hashlib.sha256(how.encode()).hexdigest()
    return Identity(name, version, weights_hash(folder), prompt)


def read_architecture(folder: Path) -> Architecture:
    """The architecture in config.json. Raises `UserError`."""
    path = folder / CONFIG
    remedy = "Name a folder that a training stage wrote, such as models/finetune."
    try:
        content: Any = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} is not a model: it has no {CONFIG}.", remedy) from None
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}.", remedy) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise UserError(f"{path} is of format {found!r}, not {FORMAT!r}.", remedy)
    if content.get("instructions") != [str(name) for name in INSTRUCTIONS]:
        raise UserError(f"{path} names other instructions than this version has.", remedy)
    try:
        return Architecture.model_validate(content.get("architecture"))
    except ValidationError as error:
        raise explain(error, Architecture, str(path)) from error


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Fill `model` from a safetensors file; every key and shape must fit.

    Raises `UserError` that names what is missing, extra or of another shape.
    """
    if not path.exists():
        pickles = sorted(path.parent.glob("*.pt")) + sorted(path.parent.glob("*.bin"))
        hint = (
            f"{pickles[0].name} is a pickle, which can run code when it is loaded; convert it with "
            "safetensors.torch.save_file on a machine where you trust it."
            if pickles
            else "Run `dvc checkout` or train the model again."
        )
        raise UserError(f"There are no weights {path}.", hint)
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"The weights {path} cannot be read: {error}.",
            "Weights are read from safetensors only; run `dvc checkout` to get the file again.",
        ) from error
    own = model.state_dict()
    faults = [f"{name} is missing" for name in own if name not in state]
    faults += [f"{name} is not of this model" for name in state if name not in own]
    faults += [
        f"{name} has shape {list(state[name].shape)} instead of {list(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise UserError(
            f"The weights {path} do not fit: {'; '.join(faults[:5])}{more}.",
            "Use the config.json that was saved with them, or train the model again.",
        )
    model.load_state_dict(state)


def read_student(folder: Path) -> StudentDiT:
    """The model of `folder`, on the CPU, in evaluation mode. Raises `UserError`."""
    model = StudentDiT(read_architecture(folder))
    load_weights(model, folder / WEIGHTS)
    return model.eval()
