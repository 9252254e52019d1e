"""Low-rank adapters by peft on an editing model: add, save, load, merge.

An adapter's folder holds adapter_model.safetensors and adapter_config.json as peft has them, and
base.json, which names the model below it by folder and by hash.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from catalog.digests import file_digest
from catalog.errors import UserError
from catalog.files import write_json
from networks.editing.base import Editor

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
BASE = "base.json"
TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "proj_mlp", "proj_out", "net.0.proj", "net.2")
"""Attention and MLP of the transformers' blocks, by the ends of their names."""


def add_lora(network: nn.Module, rank: int, alpha: float, targets: Iterable[str] = ()) -> list[str]:
    """Freeze `network` and add adapters of `rank` to the linear layers in its blocks.

    `targets`: ends of names (`TARGETS` when empty). Returns the names of the adapted layers.
    Raises `UserError` when no layer matches.
    """
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    ends = tuple(targets) or TARGETS
    names = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
        and "blocks." in name
        and any(name == end or name.endswith(f".{end}") for end in ends)
    ]
    if not names:
        raise UserError(
            f"lora_targets: no linear layer's name ends with {', '.join(ends)}.",
            f"Take names such as {', '.join(TARGETS[:3])}.",
        )
    network.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=names)  # type: ignore[arg-type]
    inject_adapter_in_model(config, network)
    for module in network.modules():
        if isinstance(module, BaseTunerLayer):
            for part in ("lora_A", "lora_B"):
                getattr(module, part).float()
    return names


def adapter_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The adapters in a network's state, under peft's names of a file."""
    return {
        name.replace(".default.", "."): value for name, value in state.items() if ".lora_" in name
    }


def save_adapter(
    editor: Editor, folder: Path, state: dict[str, Tensor] | None = None, base_hash: str = ""
) -> None:
    """Write the adapters of `editor`'s network into an existing folder.

    `state` stands in for the network's own weights.
    """
    own = adapter_state(state if state is not None else editor.network.state_dict())
    save_file(
        {name: value.detach().float().cpu().contiguous() for name, value in own.items()},
        folder / WEIGHTS,
        metadata={"format": "pt"},
    )
    configs: Any = editor.network.peft_config
    content = configs["default"].to_dict()
    content["target_modules"] = sorted(content["target_modules"])
    content["base_model_name_or_path"] = str(editor.folder)
    content["inference_mode"] = True
    (folder / CONFIG).write_text(
        json.dumps(content, indent=2, sort_keys=True, default=str) + "\n", "utf-8"
    )
    write_json(folder / BASE, {"folder": str(editor.folder), "weights": base_hash})


def read_base(folder: Path) -> tuple[Path, str]:
    """(folder, hash) of the model that the adapters in `folder` belong to. Raises `UserError`.

    Settings name it relative to the work tree, which is found from `folder` too.
    """
    try:
        content = json.loads((folder / BASE).read_text("utf-8"))
        place = Path(content["folder"])
        roots = [Path(), *folder.resolve().parents]
        found = next((root / place for root in roots if (root / place).is_dir()), place)
        return found, str(content["weights"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} does not say what its adapters belong to: {error}.",
            f"Put {BASE} there: the folder of the model and the hash of its weights.",
        ) from error


def _config(folder: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((folder / CONFIG).read_text("utf-8"))
        content["r"], content["lora_alpha"], content["target_modules"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder, error) from error
    return content


def _refuse_other_kinds(folder: Path, content: dict[str, Any]) -> None:
    """Raises `UserError` for adapters that count otherwise than alpha / rank times B A."""
    from peft import LoraConfig

    plain = {**LoraConfig().to_dict(), "peft_type": "LORA"}
    other = [
        f"{name} {value}"
        for name, value in sorted(content.items())
        if name not in _TAKEN and value not in (None, False, {}, [], plain.get(name))
    ]
    if not isinstance(content["target_modules"], list):
        other.append(f"target_modules {content['target_modules']!r}, a pattern")
    if other:
        raise UserError(
            f"The adapters in {folder} are of a kind that is not known here: {'; '.join(other)}.",
            "Merge them into their model where they were made, and name the merged model.",
        )


_TAKEN = (
    *("r", "lora_alpha", "target_modules"),
    *("auto_mapping", "peft_version", "base_model_name_or_path", "revision", "task_type"),
    *("inference_mode", "lora_dropout"),
)
"""What is read of a configuration, and what says nothing of a finished adapter."""


def _unreadable(folder: Path, error: Exception) -> UserError:
    return UserError(
        f"The adapters in {folder} cannot be read: {error}.",
        f"A folder of adapters has {CONFIG} and {WEIGHTS}.",
    )


def adapter_hash(folder: Path) -> str:
    """SHA-256 over what the adapters in `folder` add: their weights, and how much these count.

    The folder that the configuration names, another on each machine, is left out. Raises
    `UserError`.
    """
    content = _config(folder)
    told = {name: content.get(name) for name in ("r", "lora_alpha", "target_modules")}
    own = f"{json.dumps(told, sort_keys=True)}\n{file_digest(folder / WEIGHTS)}"
    return hashlib.sha256(own.encode()).hexdigest()


def rank_and_alpha(folder: Path) -> tuple[int, float]:
    """Of the adapters in `folder`. Raises `UserError`."""
    content = _config(folder)
    return int(content["r"]), float(content["lora_alpha"])


def load_adapter(editor: Editor, folder: Path) -> None:
    """Add the adapters of `folder` to `editor`. Raises `UserError` that names what does not fit."""
    content = _config(folder)
    _refuse_other_kinds(folder, content)
    try:
        found = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise _unreadable(folder, error) from error
    add_lora(editor.network, content["r"], content["lora_alpha"], content["target_modules"])
    own = editor.network.state_dict()
    wanted = {name.replace(".default.", "."): name for name in own if ".lora_" in name}
    faults = [f"{name} is missing" for name in wanted if name not in found]
    faults += [f"{name} is not of this model" for name in found if name not in wanted]
    faults += [
        f"{name} has shape {list(found[name].shape)} instead of {list(own[wanted[name]].shape)}"
        for name in wanted
        if name in found and found[name].shape != own[wanted[name]].shape
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise UserError(
            f"The adapters in {folder} do not fit: {'; '.join(faults[:5])}{more}.",
            "Name the model that they were trained on.",
        )
    editor.network.load_state_dict({wanted[k]: v for k, v in found.items()}, strict=False)


@torch.no_grad()
def merge(network: nn.Module) -> None:
    """Add the adapters to the weights below them and remove them, in place."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = [(n, m) for n, m in network.named_modules() if isinstance(m, BaseTunerLayer)]
    for name, layer in adapted:
        layer.merge(safe_merge=True)
        parent, _, last = name.rpartition(".")
        setattr(network.get_submodule(parent), last, layer.get_base_layer())
    if hasattr(network, "peft_config"):
        del network.peft_config


def require_base(folder: Path, root: Path, wanted: str, weights: str) -> None:
    """Raises `UserError` unless `weights` of the model in `root` are those that are `wanted`."""
    if wanted and wanted != weights:
        raise UserError(
            f"The adapters in {folder} were trained on other weights than those in {root}.",
            f"Put the folder of the right model into {BASE} there.",
        )


def merged_copy(folder: Path, target: Path) -> None:
    """Write the model of an adapter's folder with the adapters in its weights, to a new folder.

    Raises `UserError` where the model below them is another.
    """
    from catalog.files import atomic_folder
    from networks.editing.families import open_editor

    root, wanted = read_base(folder)
    editor = open_editor(root)
    require_base(folder, root, wanted, editor.weights_hash())
    load_adapter(editor, folder)
    merge(editor.network)
    with atomic_folder(target) as temporary:
        shutil.rmtree(temporary)
        temporary.mkdir()
        editor.save(temporary)
