"""Several processes on one model: FSDP2, and what every process must agree on.

Parallelism is applied outside the model, block by block: activation checkpointing, then
torch.compile, then sharding (the order of torchtitan). One process needs none of it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from catalog.settings.training import Stage

State = dict[str, Any]
"""Names to tensors."""

_FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)
_SPREAD = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
_WRAPPED = "_checkpoint_wrapped_module."


@dataclass(frozen=True)
class World:
    """The processes that train together; one of them without torchrun."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether `flag` holds in any process, so that all act alike."""
        if self.size == 1:
            return flag
        total = torch.tensor(float(flag))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        total = total.to(device)
        dist.all_reduce(total, op=dist.ReduceOp.MAX)
        return bool(total.item())

    def gather(self, part: list) -> list:
        """The samples' values of all processes in the order of the batch, in every process."""
        if self.size == 1:
            return part
        parts: list = [None] * self.size
        dist.all_gather_object(parts, part)
        # Process r took samples r, r + size, ...
        longest = max(map(len, parts))
        return [values[i] for i in range(longest) for values in parts if i < len(values)]

    def barrier(self) -> None:
        """Wait for all."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def world() -> Iterator[World]:
    """Join the processes that torchrun started; a world of one without torchrun."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield World(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def blocks_of(model: nn.Module) -> list[tuple[nn.ModuleList, int]]:
    """Every block of the model's block lists, as (list, index)."""
    lists = [module for module in model.children() if isinstance(module, nn.ModuleList)]
    return [(blocks, index) for blocks in lists for index in range(len(blocks))]


def apply(model: nn.Module, stage: Stage, group: World) -> None:
    """Checkpoint, compile and shard `model` in place, block by block, as `stage` says."""
    for blocks, index in blocks_of(model):
        if stage.activation_checkpointing == "full":
            blocks[index] = checkpoint_wrapper(blocks[index])
        if stage.compile:
            blocks[index].compile()
    if group.size == 1:
        return
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    mesh = init_device_mesh(kind, (group.size,))
    for blocks, index in blocks_of(model):
        fully_shard(blocks[index], mesh=mesh)
    fully_shard(model, mesh=mesh)


def parameters_of(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters, sharded where they are, by the names they had before blocks were wrapped."""
    if isinstance(model, FSDPModule):
        model.reshard()  # a forward pass without a backward pass leaves the root's whole
    return {name.replace(_WRAPPED, ""): value for name, value in model.named_parameters()}


def whole(value: Tensor) -> Tensor:
    """A tensor, or all of a sharded one (a collective call)."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def model_state(model: nn.Module, group: World) -> State:
    """All weights, unsharded; complete in the first process, a collective call."""
    if group.size == 1:
        return {name: value.detach() for name, value in parameters_of(model).items()}
    return get_model_state_dict(model, options=_FULL)


def load_model_state(model: nn.Module, state: State, group: World) -> None:
    """Fill the model from the first process's `state`."""
    if group.size > 1:
        set_model_state_dict(model, state, options=_SPREAD)
        return
    with torch.no_grad():
        for name, parameter in parameters_of(model).items():
            parameter.copy_(state[name])


def moments(model: nn.Module, optimizer: torch.optim.Optimizer, group: World) -> State:
    """The optimizer's state as `key.parameter`, unsharded; complete in the first process."""
    if group.size == 1:
        state: Any = {
            name: optimizer.state.get(parameter, {})
            for name, parameter in parameters_of(model).items()
        }
    else:
        state = get_optimizer_state_dict(model, optimizer, options=_FULL).get("state", {})
    return {
        f"{key}.{name}": value for name, values in state.items() for key, value in values.items()
    }


def load_moments(
    model: nn.Module, optimizer: torch.optim.Optimizer, found: State, group: World
) -> None:
    """Fill the optimizer from the first process's `found`."""
    by_name: dict[str, Any] = {}
    for joined, value in found.items():
        key, name = joined.split(".", 1)
        by_name.setdefault(name, {})[key] = value
    if group.size > 1:
        state = get_optimizer_state_dict(model, optimizer, options=_FULL)
        if group.first:
            state["state"] = by_name
        set_optimizer_state_dict(model, optimizer, state, options=_SPREAD)
        return
    for name, parameter in parameters_of(model).items():
        if name in by_name:
            optimizer.state[parameter] = {
                key: value if value.dim() == 0 and not parameter.is_cuda else value.to(parameter)
                for key, value in by_name[name].items()
            }
