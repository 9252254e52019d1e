"""Published checkpoints: the single file, and RealRestorer's layout nested under inner_model."""

from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from catalog.errors import UserError
from catalog.files import atomic_file
from networks.step1x.config import Step1XConfig
from networks.step1x.keys import from_diffusers, to_diffusers
from networks.step1x.model import Step1XTransformer

Layout = Literal["single-file", "nested"]

_NESTED = "inner_model."
_CONNECTOR = "connector."
_EXTRA = ("mask_token",)
"""Weights that some files carry and no released code reads; they are kept for writing back."""


def read_state(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises `UserError`, also for a pickle."""
    if path.suffix in (".pt", ".pth", ".bin", ".ckpt"):
        raise UserError(
            f"{path.name} is a pickle, which can run code when it is loaded.",
            "Convert it where you trust it: safetensors.torch.save_file(torch.load(FILE, "
            "weights_only=True), 'model.safetensors').",
        )
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} cannot be read as safetensors: {error}.", "Download the file again."
        ) from error


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors of a safetensors file, from its header. Raises `UserError`."""
    try:
        with safe_open(path, "pt") as file:
            return {k: tuple(file.get_slice(k).get_shape()) for k in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} cannot be read as safetensors: {error}.", "Download the file again."
        ) from error


def layout_of(state: dict[str, Tensor]) -> Layout:
    """Which of the two published layouts the names follow."""
    return "nested" if any(name.startswith(_NESTED) for name in state) else "single-file"


def version_of(state: dict[str, Tensor]) -> Literal["v1.0", "v1.1"]:
    """v1.0 alone has connector.scale_factor."""
    return "v1.0" if any(name.endswith("connector.scale_factor") for name in state) else "v1.1"


def load_state(model: Step1XTransformer, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fill `model`; return the weights it has no place for (see `_EXTRA`).

    Raises `UserError` that names missing, extra and wrongly shaped keys by their published names.
    """
    flat = {name.removeprefix(_NESTED): value for name, value in state.items()}
    extra = {name: flat.pop(name) for name in _EXTRA if name in flat}
    own = published_state(model)
    faults = [f"{name} is missing" for name in own if name not in flat]
    faults += [f"{name} is not of this model" for name in flat if name not in own]
    faults += [
        f"{name} has shape {list(flat[name].shape)} instead of {list(value.shape)}"
        for name, value in own.items()
        if name in flat and flat[name].shape != value.shape
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise UserError(
            f"The checkpoint does not fit {model.config.version}: {'; '.join(faults[:5])}{more}.",
            "Name the version it was made for, or download the file again.",
        )
    connector = {
        name.removeprefix(_CONNECTOR): flat.pop(name)
        for name in list(flat)
        if name.startswith(_CONNECTOR)
    }
    model.connector.load_state_dict(connector, assign=True)
    model.transformer.load_state_dict(to_diffusers(flat), assign=True)
    return extra


def published_state(
    model: Step1XTransformer, state: dict[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """The model's weights, or `state` in their place, under their published names."""
    if state is None:
        state = model.state_dict()

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}

    connector = {f"{_CONNECTOR}{k}": v for k, v in part("connector.").items()}
    return {**from_diffusers(part("transformer.")), **connector}


def load_checkpoint(
    path: Path, config: Step1XConfig | None = None, dtype: torch.dtype | None = None
) -> tuple[Step1XTransformer, dict[str, Tensor]]:
    """The model of a published file, and the weights that it has no place for.

    `config` stands in for the released sizes. Weights keep the file's dtype unless `dtype` is
    given. Raises `UserError`.
    """
    state = read_state(path)
    if config is None:
        config = Step1XConfig(version=version_of(state))
    with torch.device("meta"):
        model = Step1XTransformer(config)
    extra = load_state(model, state)
    return (model.to(dtype) if dtype else model), extra


def save_checkpoint(
    model: Step1XTransformer,
    path: Path,
    layout: Layout,
    extra: dict[str, Tensor] | None = None,
) -> None:
    """Write `model` in a published layout, whole or not at all."""
    prefix = _NESTED if layout == "nested" else ""
    state = {**published_state(model), **(extra or {})}
    with atomic_file(path) as temporary:
        save_file(
            {prefix + name: value.detach().cpu().contiguous() for name, value in state.items()},
            temporary,
            metadata={"format": "pt"},
        )
