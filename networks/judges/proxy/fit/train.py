"""Training of the judge's network; continues where it was stopped."""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from catalog.degradations import Degradation
from catalog.log import logger
from networks.fitting.descent import ScenePlan, descend
from networks.fitting.machine import CPU, Machine
from networks.fitting.scenes import fresh_scenes
from networks.fitting.state import State
from networks.judges.proxy.fit import scenes
from networks.judges.proxy.fit.pool import Pool, Windows
from networks.judges.proxy.network import SeverityNet
from networks.pyramid import planes_of

log = logger(__name__)


@dataclass(frozen=True)
class Plan(ScenePlan):
    """What decides the result, beside the photos. A scene is two versions of a photo."""

    seed: int = 20261126
    steps: int = 12800
    cooldown: float = 0.35
    warmup: int = 500
    batch: int = 96
    fresh: int = 8
    kept: int = 8000
    """13 GB of the device's memory."""
    saved: int = 500
    """Steps after which the state is saved."""
    learning_rate: float = 8e-4
    average: float = 0.998
    side: int = 256
    """Of the windows, px."""
    last_side: int = 320
    """Of those while the learning rate falls."""
    clean: float = 0.3
    """Weight of what is said of a clean photo, a degradation, beside 1 of one that is there."""
    others: float = 0.03
    """Weight of what is said of the degradations that are not there, beside one that is."""
    apart: float = 1.5
    """Weight of the difference between the two versions."""
    effect: float = 3.0
    """Weight of the map of effects."""
    shift: float = 10.0
    """Weight of how the colours of the cells were changed."""
    beta: float = 0.1
    """Strengths up to which errors count by their square."""


def fix(net: nn.Module) -> None:
    """Keep the statistics of the normalisations as they are.

    Those of a batch differ from batch to batch, and the network is to answer without one.
    """
    for part in net.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.eval()


def train(maker: scenes.Maker, work: Path, plan: Plan, machine: Machine = CPU) -> SeverityNet:
    """Fit, saving the state in `work` every `plan.saved` steps; the average of the weights.

    The first steps see windows of `plan.side` and normalise by the batch. While the learning rate
    falls the windows are of `plan.last_side` and the statistics stay.
    """
    torch.manual_seed(plan.seed)
    net = SeverityNet().train().to(machine.device).to(memory_format=torch.channels_last)
    average = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(
        net.parameters(),
        lr=plan.learning_rate,
        weight_decay=2e-2,
        fused=machine.device != "cpu",
    )
    state = State(work / "state.pt", net=net, average=average, optimizer=optimizer)
    first = state.load()
    forward = machine.forward_of(net)
    pool = Pool(plan.kept, machine.device)
    running = torch.zeros(2, len(Degradation), device=machine.device)
    for step, rng, new in fresh_scenes(maker.make, plan, first, machine.workers):
        falling = step >= plan.steps * (1 - plan.cooldown)
        if falling:
            fix(net)
        pool.put(new)
        others = pool.drawn(plan.batch - len(new), rng)
        places = np.concatenate([pool.last(len(new)), others])
        windows = pool.windows(places, plan.last_side if falling else plan.side, rng)
        loss, errors = _loss(forward, windows, plan, machine)
        descend(loss, net, average, optimizer, plan, step)
        running.index_add_(1, windows.kinds, torch.stack([errors, torch.ones_like(errors)]))
        if (step + 1) % plan.saved == 0 or step + 1 == plan.steps:
            means = (running[0] / running[1].clamp(min=1)).double().cpu().numpy().round(3).tolist()
            log.info("step", step=step + 1, **dict(zip(Degradation, means, strict=True)))
            running.zero_()
            state.save(step + 1)
    return average.cpu().eval()


def _loss(
    net: nn.Module, windows: Windows, plan: Plan, machine: Machine
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss, and by scene the error in strength of the degradation that is there."""
    count = len(windows.kinds)
    rows = torch.arange(count, device=windows.kinds.device)
    clean = windows.strengths < 0
    truth = windows.strengths.clamp(min=0)
    target = truth.new_zeros(count, 2, len(Degradation))
    weight = torch.where(clean, plan.clean, plan.others)[:, :, None].repeat(1, 1, len(Degradation))
    target[rows, :, windows.kinds] = truth
    weight[rows, :, windows.kinds] = torch.where(clean, plan.clean, 1.0)
    data = planes_of(windows.images.flatten(0, 1))
    sizes = windows.sizes.repeat_interleave(2)
    with machine.autocast():
        found = net(data.contiguous(memory_format=torch.channels_last), sizes)
    strengths = found.strengths.float().reshape(target.shape)
    losses = smooth(strengths, target, plan.beta)
    own = strengths[rows, :, windows.kinds]
    apart = smooth(own[:, 0] - own[:, 1], truth[:, 0] - truth[:, 1], plan.beta)
    cells = windows.effects.float().permute(0, 1, 4, 2, 3)
    maps = found.effects.reshape(count, 2, len(Degradation), *cells.shape[3:])
    wanted = torch.zeros_like(maps)
    wanted[rows, :, windows.kinds] = cells[:, :, 0]
    effects = smooth(maps, wanted, plan.beta).mean(dim=(3, 4))
    shifts = smooth(found.shifts.reshape(cells[:, :, 1:].shape), cells[:, :, 1:], plan.beta)
    loss = ((losses + plan.effect * effects) * weight).sum() / 2 + plan.apart * apart.sum()
    loss = loss / count + plan.shift * shifts.mean()
    return loss, (own - truth).detach().abs().mean(dim=1)


def smooth(found: torch.Tensor, wanted: torch.Tensor, beta: float) -> torch.Tensor:
    """The error of each: up to `beta` by its square, beyond in a line (Girshick 2015)."""
    return functional.smooth_l1_loss(found, wanted, reduction="none", beta=beta)
