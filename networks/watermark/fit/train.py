"""Training of the network of marks; continues where it was stopped."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn import functional

from catalog.files import atomic_file
from catalog.log import logger
from networks.watermark.fit import scenes
from networks.watermark.network import MarkNet, inputs, score

log = logger(__name__)


@dataclass(frozen=True)
class Plan:
    """What decides the result, beside the packages."""

    seed: int = 20261124
    steps: int = 1000
    cycle: int = 1500
    """Steps of the one-cycle schedule (Smith and Topin 2018, arXiv 1708.07120)."""
    cooldown: int = 750
    """From here on the cycle's learning rate also falls to nothing in a line, up to `steps`."""
    batch: int = 16
    fresh: int = 4
    """Scenes of a batch that are new; the others come from the last `kept`."""
    kept: int = 1500
    learning_rate: float = 4e-3
    image_weight: float = 0.3
    """Of the loss of the whole crop's score, beside that of its cells."""


def train(pictures: Sequence[Path], fonts: Sequence[Path], work: Path, plan: Plan) -> MarkNet:
    """Fit, saving the state in `work` every 50 steps."""
    cv2.setNumThreads(1)
    torch.manual_seed(plan.seed)
    net = MarkNet().train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=plan.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.learning_rate, plan.cycle, pct_start=0.1
    )
    place = work / "state.pt"
    parts: dict[str, Any] = {"net": net, "optimizer": optimizer, "schedule": schedule}
    first = 0
    if place.is_file():
        state = torch.load(place, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        first = state["step"]
    pool: list[scenes.Scene] = []
    running = np.zeros(2)
    for step in range(first, plan.steps):
        rng = np.random.default_rng([plan.seed, step])
        count = plan.fresh if len(pool) >= plan.batch * 4 else plan.batch
        new = [scenes.make(pictures, fonts, rng) for _ in range(count)]
        old = plan.batch - count
        chosen: list[int] = rng.choice(len(pool), old, replace=False).tolist() if old else []
        batch = new + [pool[index] for index in chosen]
        pool = (pool + new)[-plan.kept :]
        if step >= plan.cooldown:
            left = (plan.steps - step) / max(plan.steps - plan.cooldown, 1)
            for group, rate in zip(optimizer.param_groups, schedule.get_last_lr(), strict=True):
                group["lr"] = rate * left
        losses = _step(net, batch, plan)
        optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        running += losses.detach().numpy()
        if (step + 1) % 50 == 0 or step + 1 == plan.steps:
            log.info(
                "step", step=step + 1, cells=float(running[0] / 50), image=float(running[1] / 50)
            )
            running[:] = 0
            with atomic_file(place) as temporary:
                state = {name: part.state_dict() for name, part in parts.items()}
                torch.save({**state, "step": step + 1}, temporary)
    return net


def _step(net: MarkNet, batch: list[scenes.Scene], plan: Plan) -> torch.Tensor:
    """(2,) the losses of cells and of whole crops."""
    data = torch.from_numpy(np.stack([inputs(scene.image) for scene in batch]))
    cells = torch.from_numpy(np.stack([scene.cells for scene in batch])).float()
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(data.contiguous(memory_format=torch.channels_last))
    logits = logits.float()
    by_cell = functional.binary_cross_entropy_with_logits(
        logits, cells, pos_weight=torch.tensor(2.0)
    )
    share = torch.sigmoid(logits)
    overlap = 1 - (2 * (share * cells).sum() + 1) / ((share + cells).sum() + 1)
    count = cells.flatten(1).sum(dim=1)
    clear = (count == 0) | (count >= scenes.LEAST_CELLS)
    whole = functional.binary_cross_entropy_with_logits(
        score(logits)[clear], (count[clear] > 0).float()
    )
    return torch.stack([by_cell + 0.5 * overlap, plan.image_weight * whole])
