"""What a training runs on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
import torch


@dataclass(frozen=True)
class Machine:
    """What a training runs on. The scenes are the same on any; the sums differ in their last bits.

    For the smaller networks the processor suffices, in hours; that of the judge wants a GPU. There
    making scenes takes as long as learning from them, so it wants as many `workers` as there are
    cores.
    """

    device: str = "cpu"
    """cpu or cuda"""
    compiled: bool = False
    """By `torch.compile`, which wants a C++ compiler and saves a third of the time."""
    workers: int = 1
    """Processes that make scenes."""

    def forward_of(self, net: torch.nn.Module) -> torch.nn.Module:
        """`net` itself, or what computes the same with the same weights in less time."""
        # Each size by its own code, which is faster than one for all.
        return torch.compile(net, dynamic=False) if self.compiled else net  # type: ignore[return-value]

    def autocast(self) -> torch.autocast:
        """The context of the forward pass."""
        return torch.autocast(torch.device(self.device).type, torch.bfloat16)


CPU = Machine()


def _there(context: click.Context, parameter: click.Parameter, device: str) -> str:
    if device == "cuda" and not torch.cuda.is_available():
        raise click.BadParameter("PyTorch sees no CUDA device here", context, parameter)
    return device


def machine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that make up its `Machine`: device, compiled, workers."""
    for option in (
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            default=Machine.workers,
            help="Processes that make scenes.",
        ),
        click.option("--compiled", is_flag=True, help="By torch.compile; wants a C++ compiler."),
        click.option(
            "--device",
            type=click.Choice(["cpu", "cuda"]),
            default=Machine.device,
            callback=_there,
        ),
    ):
        command = option(command)
    return command
