"""The state of a training on the disk, and what is made of it in the end."""

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import click
import torch

from catalog.errors import UserError
from catalog.files import atomic_file


class State:
    """The state of a training in a file, from which a run that was cut off goes on."""

    def __init__(self, path: Path, **parts: Any) -> None:
        """`parts` have `state_dict` and `load_state_dict`: networks, optimizers, schedules."""
        self.path, self.parts = path, parts

    def load(self) -> int:
        """Put what an earlier run left into the parts; the number of steps it had done.

        The parts may lie on another device than that run's. Raises `UserError` for a file that is
        damaged, or of another network.
        """
        if not self.path.is_file():
            return 0
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
            return int(state["step"])
        except (KeyError, ValueError, RuntimeError, EOFError, UnpicklingError) as error:
            raise UserError(
                f"{self.path} is damaged, or the state of another network: "
                f"{' '.join(str(error).split())[:200]}",
                "Go on with the code that wrote it, or begin anew in another folder.",
            ) from error

    def save(self, step: int) -> None:
        """Write the parts after `step` steps, whole or not at all."""
        with atomic_file(self.path) as temporary:
            state = {name: part.state_dict() for name, part in self.parts.items()}
            # Not by torch's writer, which does not say when the disk is full.
            content = io.BytesIO()
            torch.save({**state, "step": step}, content)
            temporary.write_bytes(content.getbuffer())


def earlier_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that `averaged` takes."""
    for option in (
        click.option(
            "--earlier-share", type=click.FloatRange(0, 1), default=0.5, help="What it counts."
        ),
        click.option(
            "--earlier",
            type=click.Path(path_type=Path, dir_okay=False, exists=True),
            help="A state of the same training after fewer steps: its average counts too.",
        ),
    ):
        command = option(command)
    return command


@torch.no_grad()
def averaged(net: torch.nn.Module, earlier: Path | None, earlier_share: float) -> torch.nn.Module:
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


def write_network(
    net: torch.nn.Module,
    place: Path,
    own: Mapping[str, torch.Tensor] | None = None,
    without: tuple[str, ...] = (),
) -> str:
    """Write the weights as float16 safetensors, `own` as they are; the SHA-256 of the file.

    Those whose names begin with one of `without` are left out: they come from elsewhere.
    """
    from safetensors.torch import save

    # Counters of batches are no floating-point numbers, and say nothing at inference.
    weights = {
        name: value.half().contiguous()
        for name, value in net.state_dict().items()
        if value.is_floating_point() and not name.startswith(without)
    }
    data = save({**weights, **(own or {})})
    with atomic_file(place) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()
