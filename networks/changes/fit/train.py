"""Training of the network of changes; continues where it was stopped."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from catalog.degradations import Degradation
from catalog.log import logger
from networks.changes.fit.scenes import Scene
from networks.changes.network import ChangeNet, score
from networks.fitting.state import State

log = logger(__name__)

FALSE_ALARMS = 0.015
"""Share of the held-out sound pairs that lie above a degradation's level."""


EVERY = 50


@dataclass(frozen=True)
class Plan:
    """What decides the result, beside the scenes."""

    seed: int = 20261125
    steps: int = 1200
    batch: int = 32
    learning_rate: float = 3e-3
    pair_weight: float = 0.5
    """Of the loss of a pair's score, beside that of its cells."""


def train_net(scenes: Sequence[Scene], work: Path, plan: Plan) -> ChangeNet:
    """Fit, saving the state in `work` every `EVERY` steps."""
    torch.manual_seed(plan.seed)
    net = ChangeNet().train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=plan.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.learning_rate, plan.steps, pct_start=0.1
    )
    state = State(work / "state.pt", net=net, optimizer=optimizer, schedule=schedule)
    first = state.load()
    shapes = _by_shape(scenes)
    running = np.zeros(2)
    for step in range(first, plan.steps):
        losses = _losses(net, *_batch(scenes, shapes, plan, step), plan)
        optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimizer.step()
        schedule.step()
        running += losses.detach().numpy()
        if (step + 1) % EVERY == 0 or step + 1 == plan.steps:
            cells, pairs = (running / EVERY).tolist()
            log.info("step", step=step + 1, cells=round(cells, 4), pairs=round(pairs, 4))
            running[:] = 0
            state.save(step + 1)
    return net.eval()


def _by_shape(scenes: Sequence[Scene]) -> list[np.ndarray]:
    shapes = np.array([scene.cells.shape for scene in scenes])
    return [np.flatnonzero((shapes == shape).all(1)) for shape in np.unique(shapes, axis=0)]


def _batch(
    scenes: Sequence[Scene], shapes: Sequence[np.ndarray], plan: Plan, step: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng([plan.seed, step])
    odds = np.array([len(some) for some in shapes], float)
    some = shapes[int(rng.choice(len(shapes), p=odds / odds.sum()))]
    chosen = [scenes[i] for i in rng.choice(some, plan.batch)]
    maps = torch.from_numpy(np.stack([scene.maps for scene in chosen])).float()
    cells = torch.from_numpy(np.stack([scene.cells for scene in chosen])).float()
    turned = [axis for axis in (-1, -2) if rng.random() < 0.5]
    maps, cells = maps.flip(turned), cells.flip(turned)
    if rng.random() < 0.5:
        maps, cells = maps.transpose(-1, -2), cells.transpose(-1, -2)
    return maps, cells, torch.tensor([scene.task for scene in chosen])


def _losses(
    net: ChangeNet, maps: torch.Tensor, cells: torch.Tensor, tasks: torch.Tensor, plan: Plan
) -> torch.Tensor:
    """(2,) of cells and of whole pairs."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(maps.contiguous(memory_format=torch.channels_last), tasks)
    logits = logits.float()
    by_cell = functional.binary_cross_entropy_with_logits(
        logits, cells, pos_weight=torch.tensor(3.0)
    )
    changed = cells.flatten(1).any(dim=1).float()
    whole = functional.binary_cross_entropy_with_logits(score(logits), changed)
    return torch.stack([by_cell, plan.pair_weight * whole])


@torch.inference_mode()
def scores_of(net: ChangeNet, scenes: Sequence[Scene]) -> np.ndarray:
    """(n,) scores of pairs, in the order of `scenes`."""
    found = np.zeros(len(scenes))
    for some in _by_shape(scenes):
        for part in np.array_split(some, max(len(some) // 64, 1)):
            maps = torch.from_numpy(np.stack([scenes[i].maps for i in part])).float()
            tasks = torch.tensor([scenes[i].task for i in part])
            found[part] = score(net(maps, tasks)).numpy()
    return found


def levels_of(net: ChangeNet, held: Sequence[Scene]) -> np.ndarray:
    """(9,) the score that `FALSE_ALARMS` of the held-out sound pairs of a degradation exceed."""
    scores = scores_of(net, held)
    tasks = np.array([scene.task for scene in held])
    sound = np.array([not scene.cells.any() for scene in held])
    return np.array(
        [
            np.quantile(scores[sound & (tasks == number)], 1 - FALSE_ALARMS)
            for number in range(len(Degradation))
        ]
    )


def report(net: ChangeNet, held: Sequence[Scene], levels: np.ndarray) -> Iterator[str]:
    """What the held-out photos give, by degradation."""
    scores = scores_of(net, held)
    tasks = np.array([scene.task for scene in held])
    changed = np.array([bool(scene.cells.any()) for scene in held])
    for number, name in enumerate(Degradation):
        own, bad = scores[tasks == number], changed[tasks == number]
        area = (own[bad][:, None] > own[~bad][None]).mean()
        found = (own[bad] > levels[number]).mean()
        yield (
            f"{name:12} held-out AUC {area:.3f}, found {found:.3f} of {bad.sum()}, "
            f"level {levels[number]:.2f}"
        )
