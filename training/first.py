"""The editing model that a stage starts from."""

from pathlib import Path

import torch

from catalog.errors import UserError
from catalog.settings.training import Network, Stage
from networks.editing import lora
from networks.editing.base import Editor
from networks.editing.families import family_of, open_editor
from training.precision import Precision

TYPES = {"keep": None, "fp32": torch.float32, "bf16": torch.bfloat16}


def first_editor(network: Network, first: Path | None, stage: Stage) -> tuple[Editor, str]:
    """The model, on the CPU, and the hash of the network's weights (of that below adapters).

    first: what the stage before wrote, a whole model or adapters; None for `network.folder`.
    Adapters go on learning where `stage` has adapters, and are merged where it has none. Raises
    `UserError`.
    """
    adapters = first is not None and (first / lora.CONFIG).is_file()
    if first is None or adapters:
        if network.folder is None:
            raise UserError(
                f"network.folder is not set, so there are no first weights of {network.family}.",
                "Download the model and name its folder in section `network` of params.yaml.",
            )
        root = Path(network.folder)
    else:
        root = first
    found = family_of(root) if root.is_dir() else None
    if found != network.family:
        raise UserError(
            f"The folder {root} holds {found or 'no editing model'}, not {network.family}.",
            "Mend network.family or network.folder in params.yaml.",
        )
    target = Precision.of(stage).device
    editor = open_editor(root, "cpu", TYPES[network.weights], network.offload, target)
    weights = editor.weights_hash()
    if adapters:
        assert first is not None
        if lora.read_base(first)[1] != weights:
            raise UserError(
                f"The adapters in {first} belong to other weights than those in {root}.",
                "Name the model that the stage before was trained on in network.folder.",
            )
        lora.load_adapter(editor, first)
        _require_same(lora.rank_and_alpha(first), stage)
        if not stage.lora_rank:
            lora.merge(editor.network)
            editor.network.requires_grad_(True)
    elif stage.lora_rank:
        torch.manual_seed(stage.seed)
        lora.add_lora(editor.network, stage.lora_rank, stage.lora_alpha, stage.lora_targets)
    return editor, weights


def _require_same(found: tuple[int, float], stage: Stage) -> None:
    """Raises `UserError` where a stage asks for other adapters than those that it goes on with."""
    wanted = (stage.lora_rank, stage.lora_alpha)
    if stage.lora_rank and wanted != found:
        raise UserError(
            f"lora_rank {wanted[0]} and lora_alpha {wanted[1]:g} are not those of the adapters to "
            f"go on with, {found[0]} and {found[1]:g}.",
            "Set them to those of the stage before, or lora_rank to 0, which merges the adapters "
            "and trains all weights.",
        )
