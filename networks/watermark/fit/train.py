"""Training of the network of marks; continues where it was stopped."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from catalog.log import logger
from networks.fitting.descent import ScenePlan, descend
from networks.fitting.machine import CPU, Machine
from networks.fitting.scenes import scene_batches
from networks.fitting.state import State
from networks.watermark.fit import scenes
from networks.watermark.network import MarkNet, evidence, inputs

log = logger(__name__)


@dataclass(frozen=True)
class Plan(ScenePlan):
    """What decides the result, beside the packages."""

    seed: int = 20261124
    steps: int = 4000
    cooldown: float = 0.3
    warmup: int = 100
    batch: int = 16
    fresh: int = 5
    kept: int = 3000
    learning_rate: float = 3e-3
    average: float = 0.995
    image_weight: float = 0.3
    """Of the loss of the whole crop's evidence, beside that of its cells."""
    kind_weight: float = 0.3


def train(
    pictures: Sequence[Path],
    fonts: Sequence[Path],
    work: Path,
    plan: Plan,
    machine: Machine = CPU,
) -> MarkNet:
    """Fit, saving the state in `work` every 50 steps; the average of the weights."""
    torch.manual_seed(plan.seed)
    net = MarkNet().train().to(machine.device).to(memory_format=torch.channels_last)
    average = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=plan.learning_rate, weight_decay=1e-2)
    state = State(work / "state.pt", net=net, average=average, optimizer=optimizer)
    first = state.load()
    forward = machine.forward_of(net)
    running = np.zeros(3)
    make = scenes.Maker(pictures, fonts).make
    for step, rng, new, kept in scene_batches(make, plan, first, machine.workers):
        losses = _losses(forward, new + [_varied(scene, rng) for scene in kept], plan, machine)
        descend(losses.sum(), net, average, optimizer, plan, step)
        running += losses.detach().cpu().numpy()
        if (step + 1) % 50 == 0 or step + 1 == plan.steps:
            cells, image, kind = (running / 50).round(4).tolist()
            log.info("step", step=step + 1, cells=cells, image=image, kind=kind)
            running[:] = 0
            state.save(step + 1)
    return average.cpu()


def _varied(scene: scenes.Scene, rng: np.random.Generator) -> scenes.Scene:
    image, cells = scene.image, scene.cells
    if rng.random() < 0.5:
        image, cells = image[:, ::-1], cells[:, ::-1]
    gain = rng.uniform(0.8, 1.2) * rng.uniform(0.93, 1.07, 3)
    toned = np.clip((image.astype(np.float32) - 128) * gain.astype(np.float32) + 128, 0, 255)
    return scenes.Scene((toned + np.float32(rng.uniform(-12, 12))).clip(0, 255).astype(np.uint8),
                        np.ascontiguousarray(cells))  # fmt: skip


def _losses(
    net: torch.nn.Module, batch: list[scenes.Scene], plan: Plan, machine: Machine
) -> torch.Tensor:
    """(3,) the losses of cells, of whole crops and of kinds."""
    data = torch.from_numpy(np.stack([inputs(scene.image) for scene in batch])).to(machine.device)
    labels = torch.from_numpy(np.stack([scene.cells for scene in batch])).to(machine.device).long()
    cells = (labels > 0).float()
    with machine.autocast():
        logits = net(data.contiguous(memory_format=torch.channels_last))
    marks, kinds = logits[:, 0].float(), logits[:, 1:].float()
    by_cell = functional.binary_cross_entropy_with_logits(
        marks, cells, pos_weight=torch.tensor(2.0, device=machine.device)
    )
    share = torch.sigmoid(marks)
    overlap = 1 - (2 * (share * cells).sum() + 1) / ((share + cells).sum() + 1)
    count = cells.flatten(1).sum(dim=1)
    clear = (count == 0) | (count >= scenes.LEAST_CELLS)
    # The fewest cells decide for small marks; the most only where a mark has so many.
    found = evidence(marks)[clear, 0]
    whole = functional.binary_cross_entropy_with_logits(found, (count[clear] > 0).float())
    # Each marked crop counts the same, or tiled marks would be all that is learned.
    kind = functional.cross_entropy(kinds, labels - 1, ignore_index=-1, reduction="none")
    kind = (kind.flatten(1).sum(dim=1) / (count + 1)).sum() / ((count > 0).sum() + 1)
    return torch.stack(
        [by_cell + 0.5 * overlap, plan.image_weight * whole, plan.kind_weight * kind]
    )
