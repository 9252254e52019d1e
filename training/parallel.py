"""Several processes on one model: FSDP2, and what every process must agree on.

Parallelism is applied outside the model, block by block: activation checkpointing, then
torch.compile, then sharding (the order of torchtitan). One process needs none of it.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from catalog.errors import UserError
from catalog.settings.training import Stage
from networks.student.refiner import Block as PyramidBlock
from training.recompute import Recompute

T = TypeVar("T")
R = TypeVar("R")

PATIENCE = timedelta(minutes=10)
"""How long a process waits for another before it takes it for dead."""

GRAPHS = 64
"""Compiled forms that all blocks may have together. Each kind of block has one for the sampler, the
validation's losses and training, again for sizes that vary, again where it is not recomputed: 26
with buckets. At PyTorch's 8 the first validation leaves none, and training runs uncompiled."""

State = dict[str, Any]
"""Names to tensors."""

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

    def spread(self, items: Sequence[T], run: Callable[[T], R]) -> list[R]:
        """`run` of every item, each by one process, in order in every process; a collective call.

        All make as many calls, some once more for nothing: the passes of a sharded network are
        collective. `run` makes as many of these for one item as for another.
        """
        if self.size == 1:
            return [run(item) for item in items]
        found = [run(item) for item in items[self.rank :: self.size]]
        for _ in range(-(-len(items) // self.size) - len(found)):
            run(items[0])
        return self.gather(found)

    def share(self, value: Any) -> Any:
        """The first process's value in every process; a collective call."""
        if self.size == 1:
            return value
        carried = [value]
        dist.broadcast_object_list(carried, src=0)
        return carried[0]

    def first_only(self, run: Callable[[], R]) -> R:
        """What `run` gives in the first process, or its `UserError`, in every one; collective."""
        if self.size == 1:
            return run()
        found: tuple[Any, UserError | None] = None, None
        if self.first:
            try:
                found = run(), None
            except UserError as error:
                found = None, error
        value, fault = self.share(found)
        if fault is not None:
            raise fault
        given: R = value
        return given

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
    # Checkpoints are written in the background, by the processes' host side.
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    yield World(dist.get_rank(), size)
    # Only after a good end: with a dead process it would wait for it.
    dist.destroy_process_group()


def blocks_of(model: nn.Module) -> list[tuple[nn.ModuleList, int]]:
    """Every block of the model's outermost block lists (named *blocks), as (list, index)."""
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and name.endswith("blocks")
    ]
    outer = [
        module
        for name, module in lists
        if not any(name.startswith(f"{other}.") for other, _ in lists)
    ]
    return [(blocks, index) for blocks in outer for index in range(len(blocks))]


def compiled_of(model: nn.Module) -> list[nn.Module]:
    """What torch.compile takes one by one: the blocks, and those of a student's pyramid."""
    pyramid = [module for module in model.modules() if isinstance(module, PyramidBlock)]
    return [blocks[index] for blocks, index in blocks_of(model)] + pyramid


def apply(model: nn.Module, stage: Stage, group: World) -> None:
    """Recompute, compile and shard `model` in place, block by block, as `stage` says."""
    for blocks, index in blocks_of(model):
        if stage.activation_checkpointing != "none":
            blocks[index] = Recompute(blocks[index], stage.activation_checkpointing == "selective")
    if stage.compile:
        torch._dynamo.config.recompile_limit = GRAPHS
        for part in compiled_of(model):
            part.compile()
    if group.size == 1:
        return
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    mesh = init_device_mesh(kind, (group.size,))
    for blocks, index in blocks_of(model):
        fully_shard(blocks[index], mesh=mesh)
    fully_shard(model, mesh=mesh)


def learning(model: nn.Module) -> dict[str, nn.Parameter]:
    """Those of `parameters_of` that learn; all that a checkpoint has to hold."""
    return {name: value for name, value in parameters_of(model).items() if value.requires_grad}


def require_shareable(model: nn.Module, stage: Stage, group: World) -> None:
    """Raises `UserError` for what several processes cannot share out among them."""
    if group.size == 1:
        return
    if stage.optimizer == "adamw-8bit" or stage.free_gradients != "no":
        raise UserError(
            "adamw-8bit and free_gradients are for one process; several share weights and "
            "states among them instead.",
            "Set optimizer to adamw and free_gradients to no, or start one process.",
        )
    # FSDP2 gathers frozen weights of any type beside these.
    types = {parameter.dtype for parameter in learning(model).values()}
    if len(types) > 1:
        raise UserError(
            "Several processes share learning weights of one type only, and these have "
            f"{' and '.join(sorted(map(str, types)))}.",
            "Set network.weights to fp32, or lora_rank to 64.",
        )


def parameters_of(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters, sharded where they are, by the names they had before blocks were wrapped."""
    if isinstance(model, FSDPModule):
        model.reshard()  # a forward pass without a backward pass leaves the root's whole
    return {name.replace(_WRAPPED, ""): value for name, value in model.named_parameters()}


def whole(value: Tensor) -> Tensor:
    """A tensor, or all of a sharded one (a collective call)."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def model_state(
    model: nn.Module,
    group: World,
    kept: Callable[[str], bool] = lambda _: True,
    kinds: Mapping[str, torch.dtype] | None = None,
) -> State:
    """The weights whose name is `kept`, unsharded, in the first process; a collective call.

    With several processes one weight at a time is made whole, brought to the host, and cast to the
    type of `kinds`, in which it is written: no second whole copy of master weights is ever held.
    """
    found: State = {}
    for name, value in parameters_of(model).items():
        if not kept(name):
            continue
        if group.size == 1:
            found[name] = value.detach()
            continue
        one = whole(value.detach())
        if group.first:
            found[name] = one.to("cpu", (kinds or {}).get(name, one.dtype))
        del one
    return found
