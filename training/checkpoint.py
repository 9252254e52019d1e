"""Everything a run needs to go on bit for bit, in one folder a checkpoint.

`step-000100/` holds state.safetensors (weights, averages, optimizer moments, RNG state) and
state.json (step, best score, the rows of the logs so far). A checkpoint appears whole or not at
all; older ones are removed once a newer one is whole.
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from catalog.files import atomic_folder
from training.average import Average
from training.parallel import (
    World,
    load_model_state,
    load_moments,
    model_state,
    moments,
)

_STATE = "state.safetensors"
_JSON = "state.json"


@dataclass
class Progress:
    """What a run has done so far."""

    step: int = 0
    """Optimizer steps done."""
    best_step: int = -1
    best_score: float | None = None
    stale: int = 0
    """Validations since the best one."""
    log: list[dict[str, Any]] = field(default_factory=list)
    """Rows of training.jsonl."""
    validations: list[dict[str, Any]] = field(default_factory=list)
    """Rows of validation.jsonl."""


def _rng() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def save(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Average | None,
    progress: Progress,
    group: World,
) -> None:
    """Write the checkpoint of `progress.step` below `folder` and remove older ones.

    Weights and moments are written unsharded, so that any number of processes can go on from it.
    """
    parts = {
        "model": model_state(model, group),
        "average": average.state(model, group) if average is not None else {},
        "optimizer": moments(model, optimizer, group),
        "rng": _rng(),
    }
    if group.first:
        target = folder / f"step-{progress.step:07d}"
        with atomic_folder(target) as temporary:
            save_file(
                {
                    f"{part}.{name}": value.detach().cpu().contiguous()
                    for part, values in parts.items()
                    for name, value in values.items()
                },
                temporary / _STATE,
            )
            (temporary / _JSON).write_text(json.dumps(vars(progress)), "utf-8")
        for older in folder.glob("step-*"):
            if older != target:
                shutil.rmtree(older)
    group.barrier()


def load(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Average | None,
    group: World,
) -> Progress | None:
    """Restore the newest checkpoint below `folder`; None when there is none."""
    found = sorted(folder.glob("step-*"))
    if not found:
        return None
    # Only the first process's tensors count; the others receive theirs from it.
    tensors = load_file(found[-1] / _STATE) if group.first else {}

    def part(prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix): value
            for name, value in tensors.items()
            if name.startswith(prefix)
        }

    load_model_state(model, part("model."), group)
    if average is not None:
        average.load(model, part("average."), group)
    load_moments(model, optimizer, part("optimizer."), group)
    rng = part("rng.")
    if "cpu" in rng:
        torch.set_rng_state(rng["cpu"])
    if "cuda" in rng and torch.cuda.is_available():
        torch.cuda.set_rng_state(rng["cuda"])
    return Progress(**json.loads((found[-1] / _JSON).read_text("utf-8")))
