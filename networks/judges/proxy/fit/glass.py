"""Training of the network of reflections; continues where it was stopped."""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from catalog.degradations import Degradation
from catalog.log import logger
from networks.fitting.descent import ScenePlan, descend
from networks.fitting.machine import CPU, Machine
from networks.fitting.scenes import fresh_scenes
from networks.fitting.state import State
from networks.judges.proxy.fit.pool import Pool, Windows
from networks.judges.proxy.fit.scenes import Maker
from networks.judges.proxy.fit.train import smooth
from networks.judges.proxy.glass import GlassNet
from networks.judges.proxy.network import CELL
from networks.judges.proxy.sight import load_backbone

log = logger(__name__)

SHARES = {Degradation.REFLECTION: 1.0}
"""Of the scenes: nothing else is asked of this network."""


@dataclass(frozen=True)
class Plan(ScenePlan):
    """What decides the result, beside the photos. A scene is two versions of a photo."""

    seed: int = 20261127
    steps: int = 3600
    cooldown: float = 0.6
    warmup: int = 50
    batch: int = 24
    fresh: int = 14
    kept: int = 1500
    """2.4 GB of the device's memory."""
    saved: int = 100
    """Steps after which the state is saved."""
    learning_rate: float = 1e-3
    backbone: float = 0.3
    """Of the learning rate, for what ImageNet taught."""
    average: float = 0.985
    side: int = 256
    """Of what is shown, px."""
    sides: tuple[int, ...] = (208, 256, 304, 352)
    """Of the windows that are brought to that side, px: things are seen near and far."""
    clean: float = 0.3
    """Weight of what is said of a clean photo, beside 1 of one with a reflection."""
    apart: float = 1.5
    """Weight of the difference between the two versions."""
    effect: float = 3.0
    """Weight of the map of effects."""
    clean_effect: float = 0.5
    """Weight of the map of a clean photo, beside 1."""
    beta: float = 0.1
    """Strengths up to which errors count by their square."""
    grainy: float = 0.45
    """Share of the versions that get grain: photos through glass are mostly dim, and so grainy."""
    grain: float = 12.0
    """Levels of the strongest grain; the weakest has 1."""


def train(maker: Maker, work: Path, plan: Plan, machine: Machine = CPU) -> GlassNet:
    """Fit, saving the state in `work` every `plan.saved` steps; the average of the weights."""
    torch.manual_seed(plan.seed)
    net = GlassNet(load_backbone()).to(machine.device).to(memory_format=torch.channels_last)
    net.stem.requires_grad_(False)
    net.train()
    # ImageNet's statistics stay: those of a few dozen windows of one scene each are worse.
    for part in (net.stem, *net.learning):
        part.eval()
    average = copy.deepcopy(net)
    known = [weight for part in net.learning for weight in part.parameters()]
    old = {id(weight) for weight in known}
    own = [w for w in net.parameters() if w.requires_grad and id(w) not in old]
    groups = [{"params": known, "scale": plan.backbone}, {"params": own, "scale": 1.0}]
    optimizer = torch.optim.AdamW(groups, lr=plan.learning_rate, weight_decay=2e-2)
    state = State(work / "state.pt", net=net, average=average, optimizer=optimizer)
    first = state.load()
    forward = machine.forward_of(net)
    pool = Pool(plan.kept, machine.device)
    errors: list[torch.Tensor] = []
    for step, rng, new in fresh_scenes(maker.make, plan, first, machine.workers):
        pool.put(new)
        places = np.concatenate([pool.last(len(new)), pool.drawn(plan.batch - len(new), rng)])
        windows = pool.windows(places, int(rng.choice(plan.sides)), rng)
        loss, error = _loss(forward, windows, plan, machine, rng)
        descend(loss, net, average, optimizer, plan, step)
        errors.append(error)
        if (step + 1) % plan.saved == 0 or step + 1 == plan.steps:
            log.info("step", step=step + 1, error=round(float(torch.stack(errors).mean()), 3))
            errors.clear()
            state.save(step + 1)
    return average.cpu().eval()


def _loss(
    net: torch.nn.Module, windows: Windows, plan: Plan, machine: Machine, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss, and the mean error in strength where there is a reflection."""
    images, cells = shown(windows, plan, rng)
    clean = windows.strengths < 0
    truth = windows.strengths.clamp(min=0)
    with machine.autocast():
        found = net((images / 127.5 - 1).contiguous(memory_format=torch.channels_last))
    said = found.strengths.reshape(truth.shape)
    weight = torch.where(clean, plan.clean, 1.0)
    losses = smooth(said, truth, plan.beta) * weight
    apart = smooth(said[:, 0] - said[:, 1], truth[:, 0] - truth[:, 1], plan.beta)
    effects = smooth(found.effects, cells, plan.beta).mean(dim=(1, 2)).reshape(truth.shape)
    effects = effects * torch.where(clean, plan.clean_effect, 1.0)
    loss = (losses + plan.effect * effects).sum() / 2 + plan.apart * apart.sum()
    there = ~clean
    error = ((said - truth).detach().abs() * there).sum() / there.sum().clamp(min=1)
    return loss / len(truth), error


def shown(
    windows: Windows, plan: Plan, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The windows of n scenes at `plan.side`, some with grain: (2 n, 3, side, side) in 0 .. 255,
    and their (2 n, side / 8, side / 8) effects."""
    images = windows.images.flatten(0, 1).permute(0, 3, 1, 2).float()
    cells = windows.effects[..., 0].flatten(0, 1).float()
    side = images.shape[2]
    if side != plan.side:
        images = functional.interpolate(
            images, size=(plan.side,) * 2, mode="bilinear", antialias=side > plan.side
        )
        size = (plan.side // CELL,) * 2
        cells = functional.interpolate(cells[:, None], size=size, mode="bilinear")[:, 0]
    return _grainy(images, plan, rng), cells


def _grainy(images: torch.Tensor, plan: Plan, rng: np.random.Generator) -> torch.Tensor:
    """(n, 3, h, w) in 0 .. 255 to whole levels, with grain in some of them, fine or coarse."""
    count = len(images)
    sigma = np.exp(rng.uniform(0, np.log(plan.grain), count)) * (rng.random(count) < plan.grainy)
    coarse = rng.random(count) < 0.5
    torch_rng = torch.Generator(images.device).manual_seed(int(rng.integers(2**62)))
    noise = torch.randn(images.shape, generator=torch_rng, device=images.device)
    # A mean of 3 x 3 has a third of the deviation, less at the borders.
    soft = functional.avg_pool2d(noise, 3, 1, 1) * 2.5
    there = torch.from_numpy(np.stack([coarse, ~coarse]) * sigma).float().to(images.device)
    mixed = soft * there[0, :, None, None, None] + noise * there[1, :, None, None, None]
    return (images + mixed).clamp(0, 255).round()
