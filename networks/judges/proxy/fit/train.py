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
from networks.fitting.scenes import scene_batches
from networks.fitting.state import State
from networks.judges.proxy.fit import scenes
from networks.judges.proxy.network import SeverityNet, size_of
from networks.pyramid import Pyramid, planes
from networks.weights import read_pinned

log = logger(__name__)


@dataclass(frozen=True)
class Plan(ScenePlan):
    """What decides the result, beside the photos. A scene is two versions of a photo."""

    seed: int = 20261126
    steps: int = 55000
    cooldown: float = 0.4
    warmup: int = 200
    batch: int = 8
    fresh: int = 1
    kept: int = 3000
    learning_rate: float = 1e-3
    average: float = 0.998
    primed: int = 160
    """Scenes that the head's normalisation is taken from."""
    side: int = 256
    """Of the windows, px."""
    clean: float = 0.3
    """Weight of what is said of a clean photo, a degradation, beside 1 of one that is there."""
    others: float = 0.03
    """Weight of what is said of the degradations that are not there, beside one that is."""
    apart: float = 1.5
    """Weight of the difference between the two versions."""
    effect: float = 3.0
    """Weight of the map of effects."""
    beta: float = 0.1
    """Strengths up to which errors count by their square."""


def start(net: SeverityNet) -> None:
    """Give the levels of `net` those of the network of marks, which are built alike.

    Faint things laid over a photo are what that network has learned to see.
    """
    from safetensors.torch import load

    from networks.watermark.detector import PLACE, SHA256

    weights = load(read_pinned(PLACE, SHA256, "the network that the training starts from"))
    own = net.state_dict()
    levels = Pyramid().state_dict().keys() & weights.keys()
    taken = {name: weights[name].float() for name in levels}
    net.load_state_dict(own | taken)


def fix(net: SeverityNet) -> None:
    """Keep the statistics of the normalisations as they are.

    Those of a batch of 16 differ from batch to batch by more than mild and strong degradations do.
    """
    for part in net.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.eval()


@torch.no_grad()
def prime(net: SeverityNet, maker: scenes.Maker, plan: Plan) -> None:
    """Set what the head is normalised by, from `plan.primed` scenes."""
    fix(net)
    net.norm.train()
    net.norm.momentum = None  # the plain mean over all batches
    rng = np.random.default_rng([plan.seed, 2])
    device = next(net.parameters()).device
    for _ in range(plan.primed // plan.batch):
        batch = [maker.make(rng) for _ in range(plan.batch)]
        data, sizes, _ = _inputs(batch, plan, rng)
        net(data.to(device), sizes.to(device))
    fix(net)


def train(maker: scenes.Maker, work: Path, plan: Plan, machine: Machine = CPU) -> SeverityNet:
    """Fit, saving the state in `work` every 50 steps; the average of the weights."""
    torch.manual_seed(plan.seed)
    net = SeverityNet().train().to(machine.device).to(memory_format=torch.channels_last)
    start(net)
    prime(net, maker, plan)
    average = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=plan.learning_rate, weight_decay=2e-2)
    state = State(work / "state.pt", net=net, average=average, optimizer=optimizer)
    first = state.load()
    forward = machine.forward_of(net)
    running, counted = np.zeros(len(Degradation)), np.zeros(len(Degradation))
    for step, rng, new, kept in scene_batches(maker.make, plan, first, machine.workers):
        batch = new + kept
        loss, errors = _loss(forward, batch, plan, rng, machine)
        descend(loss, net, average, optimizer, plan, step)
        for scene, error in zip(batch, errors, strict=True):
            running[scene.kind] += error
            counted[scene.kind] += 1
        if (step + 1) % 50 == 0 or step + 1 == plan.steps:
            means = (running / np.maximum(counted, 1)).round(3).tolist()
            log.info("step", step=step + 1, **dict(zip(Degradation, means, strict=True)))
            running[:] = counted[:] = 0
            state.save(step + 1)
    return average.cpu()


def _loss(
    net: nn.Module,
    batch: list[scenes.Scene],
    plan: Plan,
    rng: np.random.Generator,
    machine: Machine,
) -> tuple[torch.Tensor, list[float]]:
    """The loss, and by scene the error in strength of the degradation that is there."""
    kinds = [scene.kind for scene in batch]
    truth = torch.tensor([scene.strengths for scene in batch])
    clean = truth < 0
    truth = truth.clamp(min=0)
    target = torch.zeros(len(batch), 2, len(Degradation))
    weight = torch.full_like(target, plan.others)
    weight[clean] = plan.clean
    rows = range(len(batch))
    target[rows, :, kinds] = truth
    weight[rows, :, kinds] = torch.where(clean, plan.clean, 1.0)
    data, sizes, changed = (part.to(machine.device) for part in _inputs(batch, plan, rng))
    truth, target, weight = (part.to(machine.device) for part in (truth, target, weight))
    with machine.autocast():
        strengths, effects = net(data, sizes)
    strengths = strengths.float().reshape(target.shape)
    losses = functional.smooth_l1_loss(strengths, target, reduction="none", beta=plan.beta)
    own = strengths[rows, :, kinds]
    apart = functional.smooth_l1_loss(
        own[:, 0] - own[:, 1], truth[:, 0] - truth[:, 1], reduction="none", beta=plan.beta
    )
    maps = effects.float().reshape(*target.shape, *effects.shape[2:])
    wanted = torch.zeros_like(maps)
    wanted[rows, :, kinds] = changed.reshape(len(batch), 2, *effects.shape[2:])
    cells = functional.smooth_l1_loss(maps, wanted, reduction="none", beta=plan.beta)
    cells = cells.mean(dim=(3, 4))
    loss = (losses * weight).sum() / 2 + plan.apart * apart.sum()
    loss = (loss + plan.effect * (cells * weight).sum() / 2) / len(batch)
    return loss, (own - truth).detach().abs().mean(dim=1).tolist()


def _inputs(
    batch: list[scenes.Scene], plan: Plan, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Planes of a window of each version of each scene, (2 n, 4, side, side), its size, and the
    effects, (2 n, side / 8, side / 8).
    """
    data: list[np.ndarray] = []
    sizes: list[float] = []
    changed: list[np.ndarray] = []
    for scene in batch:
        images, effects = scenes.window(scene, plan.side, rng)
        for image in images:
            data.append(planes(image.astype(np.float32) / np.float32(255)))
            sizes.append(size_of(scene.images[0].shape))
        changed += effects
    stacked = torch.from_numpy(np.stack(data)).contiguous(memory_format=torch.channels_last)
    return stacked, torch.tensor(sizes), torch.from_numpy(np.stack(changed))
