"""What the scripts share that train the package's own small networks."""

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from catalog.errors import UserError
from catalog.files import atomic_file, atomic_folder
from catalog.progress import track

Scene = TypeVar("Scene")

FILLING = 25
"""Steps at the beginning whose scenes are all new."""


def unpack(debs: Path, folder: Path, packages: Path) -> None:
    """Unpack into `folder`/NAME, once, the Debian packages in `debs` that `packages` lists.

    The list is JSON: objects with "package", "version" and "sha256". Raises `UserError` for a
    package that is missing or is another one.
    """
    for entry in track(json.loads(packages.read_text("utf-8")), "packages"):
        target = folder / entry["package"]
        if target.exists():
            continue
        found = sorted(debs.glob(f"{entry['package']}_*.deb"))
        digest = hashlib.sha256(found[0].read_bytes()).hexdigest() if found else "no file"
        if digest != entry["sha256"]:
            raise UserError(
                f"{debs} lacks {entry['package']} {entry['version']} (SHA-256 found: {digest}).",
                f"In that folder: apt-get download {entry['package']}={entry['version']}",
            )
        with atomic_folder(target) as temporary:
            subprocess.run(["dpkg-deb", "-x", found[0], temporary], check=True)


class State:
    """The state of a training in a file, from which a run that was cut off goes on."""

    def __init__(self, path: Path, **parts: Any) -> None:
        """`parts` have `state_dict` and `load_state_dict`: networks, optimizers, schedules."""
        self.path, self.parts = path, parts

    def load(self) -> int:
        """Put what an earlier run left into the parts; the number of steps it had done.

        The parts may lie on another device than that run's.
        """
        if not self.path.is_file():
            return 0
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        return int(state["step"])

    def save(self, step: int) -> None:
        """Write the parts after `step` steps, whole or not at all."""
        with atomic_file(self.path) as temporary:
            state = {name: part.state_dict() for name, part in self.parts.items()}
            torch.save({**state, "step": step}, temporary)


@dataclass(frozen=True)
class ScenePlan:
    """What decides a training on scenes that are made as it goes."""

    seed: int
    steps: int
    cooldown: float
    """Of the steps, at the end, in which the learning rate falls to nothing in a line."""
    warmup: int
    batch: int
    """Scenes of a step."""
    fresh: int
    """Scenes of a batch that are new; the others come from the last `kept`, seen otherwise."""
    kept: int
    learning_rate: float
    average: float
    """Kept of the running average of the weights, which is what is saved, at each step."""

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return self.learning_rate * held(step, self.steps, self.warmup, self.cooldown)


@dataclass(frozen=True)
class Machine:
    """What a training runs on. The scenes are the same on any; the sums differ in their last bits.

    The processor suffices: hours for a network of this size. On a GPU, making scenes is what takes
    the time, so it wants as many `workers` as there are cores.
    """

    device: str = "cpu"
    compiled: bool = False
    """By `torch.compile`, which wants a C++ compiler and saves a third of the time."""
    workers: int = 1
    """Processes that make scenes."""

    def faster(self, net: torch.nn.Module) -> torch.nn.Module:
        """`net` itself, or what computes the same with the same weights in less time."""
        return torch.compile(net) if self.compiled else net  # type: ignore[return-value]

    def lower_precision(self) -> torch.autocast:
        """The context of the forward pass."""
        return torch.autocast(torch.device(self.device).type, torch.bfloat16)


def earlier_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that `joined` takes."""
    for option in (
        click.option("--earlier-share", default=0.5, help="What its average counts, 0 .. 1."),
        click.option(
            "--earlier",
            type=click.Path(path_type=Path, dir_okay=False, exists=True),
            help="A state of the same training after fewer steps: its average counts too.",
        ),
    ):
        command = option(command)
    return command


@torch.no_grad()
def joined(net: torch.nn.Module, earlier: Path | None, earlier_share: float) -> torch.nn.Module:
    """`net`, its weights moved by `earlier_share` to the average in the state `earlier`.

    Two ends of one training, at each of which the learning rate has fallen to nothing, lie in one
    basin, and what is between them can be better than either (Izmailov et al. 2018, stochastic
    weight averaging). Nothing is done where there is no `earlier`.
    """
    if earlier is not None:
        state = torch.load(earlier, map_location="cpu", weights_only=True)["average"]
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                value.copy_(state[name] * earlier_share + value * (1 - earlier_share))
    return net


def machine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that make up its `Machine`: device, compiled, workers."""
    for option in (
        click.option("--workers", default=Machine.workers, help="Processes that make scenes."),
        click.option("--compiled", is_flag=True, help="By torch.compile; wants a C++ compiler."),
        click.option("--device", default=Machine.device, help="As torch names it: cpu, cuda."),
    ):
        command = option(command)
    return command


class _Fresh(Dataset[list[Any]]):
    """New scenes by step, the same whenever they are asked for."""

    def __init__(self, make: Callable[[np.random.Generator], Any], plan: ScenePlan, first: int):
        self.make, self.plan, self.first = make, plan, first

    def __len__(self) -> int:
        return self.plan.steps - self.first

    def __getitem__(self, index: int) -> list[Any]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng([self.plan.seed, self.first + index])
        # The first batches fill the pool that later ones draw from.
        count = self.plan.batch if index < FILLING else self.plan.fresh
        return [self.make(rng) for _ in range(count)]


def scene_batches(
    make: Callable[[np.random.Generator], Scene], plan: ScenePlan, first: int, workers: int = 1
) -> Iterator[tuple[int, np.random.Generator, list[Scene], list[Scene]]]:
    """Each step from `first` on: its number, its generator, the new scenes and the kept ones.

    Scenes are made by `make` in processes beside, the same however many `workers` there are.
    """
    # No threads of OpenCV when the loader forks: they would be waited for in the child, for ever.
    cv2.setNumThreads(1)
    fresh = _Fresh(make, plan, first)
    pool: list[Scene] = []
    loader = DataLoader(fresh, batch_size=None, num_workers=workers, prefetch_factor=8)
    for step, new in enumerate(loader, first):
        rng = np.random.default_rng([plan.seed, step, 1])
        old = plan.batch - len(new)
        chosen: list[int] = rng.choice(len(pool), old, replace=False).tolist() if old else []
        kept = [pool[index] for index in chosen]
        pool = (pool + new)[-plan.kept :]
        yield step, rng, new, kept


def descend(
    loss: torch.Tensor,
    net: torch.nn.Module,
    average: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    plan: ScenePlan,
    step: int,
) -> None:
    """One step of `optimizer` down the loss, and of the running average after it."""
    for group in optimizer.param_groups:
        group["lr"] = plan.rate(step)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    optimizer.step()
    follow(average, net, min(plan.average, (step + 1) / (step + 20)))


def write_network(
    net: torch.nn.Module, place: Path, own: Mapping[str, torch.Tensor] | None = None
) -> str:
    """Write the weights as float16 safetensors, `own` as they are; the SHA-256 of the file."""
    from safetensors.torch import save

    # Counters of batches are no floating-point numbers, and say nothing at inference.
    weights = {
        name: value.half().contiguous()
        for name, value in net.state_dict().items()
        if value.is_floating_point()
    }
    data = save({**weights, **(own or {})})
    with atomic_file(place) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def held(step: int, steps: int, warmup: int, cooldown: float) -> float:
    """Share of the learning rate at a step, 0 .. 1.

    It rises over `warmup` steps, stays, and falls in a line over the last `cooldown` (a share) of
    the `steps`.
    """
    return min(1.0, (step + 1) / warmup, (steps - step) / (steps * cooldown))


@torch.no_grad()
def follow(average: torch.nn.Module, net: torch.nn.Module, kept: float) -> None:
    """Move the running average of the weights towards `net`'s, keeping the share `kept` of it."""
    for mean, now in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(now, 1 - kept)
        else:
            mean.copy_(now)
