"""An editing model's folder, or a folder of adapters on one, as a Restorer."""

import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import torch

from catalog.degradations import WORDING, Degradation
from catalog.errors import UserError
from networks.editing import lora
from networks.editing.base import Editor
from networks.editing.families import family_of, open_editor
from networks.editing.reference import REFERENCE, resolve
from networks.editing.restorer import EditingRestorer, Options
from networks.interfaces import Identity

SMALLEST_SIDE = Editor.multiple


def is_editing(folder: Path) -> bool:
    """Whether `folder` holds an editing model, adapters on one, or a reference to one."""
    named = (folder / lora.CONFIG).is_file() or (folder / REFERENCE).is_file()
    return named or family_of(folder) is not None


def read_options(text: str, defaults: Options) -> Options:
    """`steps=8&tiles=true` over `defaults`. Raises `UserError`."""
    kinds = {field.name: type(getattr(defaults, field.name)) for field in fields(Options)}
    values: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name not in kinds:
            raise UserError(
                f"{name} is no option of an editing model.", f"Options are {', '.join(kinds)}."
            )
        try:
            if kinds[name] is bool:
                values[name] = {"true": True, "1": True, "false": False, "0": False}[value.lower()]
            else:
                values[name] = kinds[name](value)
        except (ValueError, KeyError):
            raise UserError(
                f"{name}={value} is no {kinds[name].__name__}.",
                "Write it as in steps=28&tiles=true.",
            ) from None
    side = values.get("side", defaults.side)
    values.setdefault("overlap", min(defaults.overlap, side // 2))
    options = Options(**{**vars(defaults), **values})
    if (
        min(options.steps, options.batch) < 1
        or options.side < SMALLEST_SIDE
        or not 0 <= 2 * options.overlap <= options.side
    ):
        raise UserError(
            f"The options {text} do not fit together.",
            f"steps and batch are at least 1, side at least {SMALLEST_SIDE}, overlap at most half "
            "of side.",
        )
    return options


def load_editing(folder: Path, options: str = "", device: str | None = None) -> EditingRestorer:
    """The model in `folder` as a Restorer, bf16 on a GPU. Raises `UserError`."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    adapters = (folder / lora.CONFIG).is_file()
    root, wanted = lora.read_base(folder) if adapters else (folder, "")
    if (folder / REFERENCE).is_file():
        root = resolve(folder)
    offload = read_options(options, Options()).offload
    editor = open_editor(root, "cpu", dtype, offload, target=device)
    weights = editor.identity_hash()
    if adapters:
        lora.require_base(folder, root, wanted, editor.weights_hash())
        lora.load_adapter(editor, folder)
        lora.merge(editor.network)
        weights = hashlib.sha256(f"{weights}\n{lora.adapter_hash(folder)}".encode()).hexdigest()
    chosen = read_options(options, Options(steps=editor.steps, guidance=editor.guidance))
    editor.network.eval()
    try:
        editor.to(device)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"{device} has too little memory for the model in {root}.",
            "Add ?offload=true to its name, or name a device with more.",
        ) from error
    # How it samples is part of who it is: other steps give other images. How many at once is not.
    how = {name: value for name, value in vars(chosen).items() if name != "offload"} | {"batch": 1}
    told = "&".join(f"{name}={value}" for name, value in how.items())
    words = (WORDING[task].instruction_en for task in Degradation)
    prompt = hashlib.sha256("\n".join((told, *words)).encode()).hexdigest()
    return EditingRestorer(editor, Identity(editor.name, "v1", weights, prompt), chosen)
