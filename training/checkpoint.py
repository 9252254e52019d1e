"""Everything a run needs to go on bit for bit, in one folder a checkpoint.

`step-0000100/` holds safetensors files, one a process, written by torch.distributed.checkpoint
(weights that learn, averages, optimizer states, RNG states), and state.json (step, best score, the
rows of the logs so far). Files are written in the background into a hidden folder, which is renamed
when all of them are whole; older checkpoints are removed after that. Any number of processes can go
on from one: each reads its own part of every tensor.
"""

import json
import os
import shutil
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.state_dict_loader import load as load_tensors
from torch.distributed.checkpoint.state_dict_saver import async_save
from torch.distributed.tensor import DTensor

from catalog.errors import UserError
from catalog.files import atomic_file, disk_errors
from catalog.log import logger
from training.average import Average
from training.parallel import State, World, learning

# One process is a plain case here, not an oversight.
warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)

_JSON = "state.json"
DONE = "done.json"
"""In the folder of a run that has finished."""
_PARTIAL = ".partial"


@dataclass
class Progress:
    """What a run has done so far."""

    step: int = 0
    """Optimizer steps done."""
    best_step: int = -1
    best_score: float | None = None
    stale: int = 0
    """Validations since the best one."""
    last_norm: float | None = None
    """Of the last gradient, where freed gradients are clipped by it."""
    log: list[dict[str, Any]] = field(default_factory=list)
    """Rows of training.jsonl."""
    validations: list[dict[str, Any]] = field(default_factory=list)
    """Rows of validation.jsonl."""


StateOf = Callable[[nn.Parameter], dict[str, Tensor]]
"""The optimizer's state of a parameter; filled with zeros when it has none yet."""


def state_of(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> dict[str, Tensor]:
    """The state of `parameter` in AdamW or one of torchao's, made where there is none yet."""
    state: dict[str, Tensor] = optimizer.state[parameter]
    if not state:
        own: Any = optimizer
        fused = own.param_groups[0].get("fused")
        step = torch.zeros((), dtype=torch.float32)
        state["step"] = step.to(parameter.device) if fused else step
        for name, signed in (("exp_avg", True), ("exp_avg_sq", False)):
            state[name] = (
                own._new_buffer(parameter, signed)
                if hasattr(own, "_new_buffer")
                else torch.zeros_like(parameter, memory_format=torch.preserve_format)
            )
    return state


def _plain(name: str, value: Tensor) -> State:
    """A tensor, or the plain tensors that an 8-bit one is made of; all share its memory."""
    if hasattr(value, "__tensor_flatten__") and not isinstance(value, DTensor):
        return {f"{name}/{part}": getattr(value, part) for part in value.__tensor_flatten__()[0]}
    return {name: value.detach().view(1) if value.dim() == 0 else value.detach()}


def _rng() -> State:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def newest(run: Path) -> Path | None:
    """The newest whole checkpoint of the run in the folder `run`."""
    return max(run.glob("step-*"), default=None)


def step_of(checkpoint: Path) -> int:
    """The step of the folder of a checkpoint."""
    return int(checkpoint.name[5:])


class Checkpoints:
    """Writes and reads the checkpoints of one run below `folder`."""

    def __init__(self, folder: Path, keep: int, group: World) -> None:
        self.folder, self.keep, self.group = folder, keep, group
        self._pending: Future[None] | None = None
        # Background writes speak on a channel of their own, else they would mix with the steps'.
        self._channel: Any = dist.new_group(backend="gloo") if group.size > 1 else None

    def describe(self) -> str:
        """Which checkpoint a user has, in words."""
        found = newest(self.folder)
        return f"the checkpoint of step {step_of(found)} is kept" if found else "none yet"

    def _tensors(self, model: nn.Module, states: StateOf, average: Average | None) -> State:
        found: State = {}
        for name, parameter in learning(model).items():
            found[f"model.{name}"] = parameter.detach()
            if average is not None:
                found[f"average.{name}"] = average.weights[name]
            for key, value in states(parameter).items():
                found |= _plain(f"optimizer.{key}.{name}", value)
        return found

    def save(
        self, model: nn.Module, states: StateOf, average: Average | None, progress: Progress
    ) -> None:
        """Copy the state and write it in the background; a collective call.

        Waits for the one before, and raises what went wrong with it.
        """
        self.wait()
        rank = self.group.rank
        tensors = self._tensors(model, states, average)
        tensors |= {f"rng.{rank}.{name}": value for name, value in _rng().items()}
        target = self.folder / f"step-{progress.step:07d}"
        temporary = target.with_name(f".{target.name}{_PARTIAL}")
        if self.group.first:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            self._write(temporary, progress)
        self.group.barrier()
        writing = async_save(
            tensors,
            storage_writer=HuggingFaceStorageWriter(str(temporary), save_distributed=True),
            process_group=self._channel,
            no_dist=self.group.size == 1,
        )
        assert isinstance(writing, Future)
        done: Future[None] = Future()

        def finish(written: Future[Any]) -> None:
            try:
                written.result()
                # The first process's save ends after all others have written.
                if self.group.first:
                    self._put_in_place(temporary, target)
                done.set_result(None)
            except BaseException as error:
                done.set_exception(error)

        writing.add_done_callback(finish)
        self._pending = done

    def best_steps(self) -> set[int]:
        """The best step as each checkpoint has it, the one that is being written included."""
        found = set()
        # In this order: one that is put in place meanwhile is seen in its new place.
        for pattern in (f".step-*{_PARTIAL}", "step-*"):
            for path in self.folder.glob(f"{pattern}/{_JSON}"):
                try:
                    found.add(int(json.loads(path.read_text("utf-8"))["best_step"]))
                except (OSError, ValueError, KeyError):  # moved, or no checkpoint to go on from
                    continue
        return found

    def amend(self, progress: Progress) -> None:
        """Add what a validation found to the checkpoint of its step; a collective call."""
        self.wait()
        if self.group.first:
            self._write(self.folder / f"step-{progress.step:07d}", progress)

    def _write(self, folder: Path, progress: Progress) -> None:
        with atomic_file(folder / _JSON) as file:
            # Keys in their own order: the rows of the logs come back to the byte.
            file.write_text(json.dumps(vars(progress)), "utf-8")

    def _put_in_place(self, temporary: Path, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        os.replace(temporary, target)
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        for older in sorted(self.folder.glob("step-*"))[: -self.keep]:
            shutil.rmtree(older)

    def wait(self) -> None:
        """Until the last checkpoint is in place. Raises `UserError` for a full disk."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            with disk_errors(self.folder):
                pending.result()
        self.group.barrier()

    def finish(self, progress: Progress) -> None:
        """Note that the run is whole, then remove its checkpoints; of the first process."""
        with atomic_file(self.folder / DONE) as file:
            file.write_text(json.dumps(vars(progress)), "utf-8")
        for pattern in ("step-*", "broken-step-*"):
            for path in self.folder.glob(pattern):
                shutil.rmtree(path)

    def finished(self) -> Progress | None:
        """What `finish` noted; a collective call. Removes what other finished runs left."""
        path, found = self.folder / DONE, None
        if self.group.first:
            for other in self.folder.parent.glob(f"*/{DONE}"):
                if other != path:
                    shutil.rmtree(other.parent, ignore_errors=True)
            if path.is_file():
                found = Progress(**json.loads(path.read_text("utf-8")))
        shared: Progress | None = self.group.share(found)
        return shared

    def load(self, model: nn.Module, states: StateOf, average: Average | None) -> Progress | None:
        """Restore the newest checkpoint that is whole; None when there is none. A collective call.

        One that a failing disk tore is set aside where there is an older one. Raises `UserError`
        where no checkpoint can be read.
        """
        if self.group.first:
            for torn in self.folder.glob(f".step-*{_PARTIAL}"):
                shutil.rmtree(torn, ignore_errors=True)
        # Of the first process: a disk shared by several machines may show each another state.
        own = sorted((path.name for path in self.folder.glob("step-*")), reverse=True)
        names: list[str] = self.group.share(own)
        tensors = self._tensors(model, states, average) if names else {}
        faults: list[str] = []
        for name in names:
            fault = self._fault(self.folder / name, tensors)
            fault = next(filter(None, self.group.gather([fault])), None)
            if fault is None:
                self._fill(self.folder / name, tensors)
                self._set_aside(names[: len(faults)], faults)
                return self._progress(self.folder / name)
            faults.append(f"{name}: {fault}")
        if faults:
            raise UserError(
                f"No checkpoint in {self.folder} can be read ({'; '.join(faults)}).",
                f"Remove {self.folder} to start anew, or bring its files back.",
            )
        return None

    def _progress(self, found: Path) -> Progress:
        return Progress(**json.loads((found / _JSON).read_text("utf-8")))

    def _fault(self, found: Path, tensors: State) -> str | None:
        """What keeps the checkpoint `found` from being read, None where nothing does."""
        try:
            self._progress(found)
            known = HuggingFaceStorageReader(str(found)).read_metadata().state_dict_metadata
        except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
            return f"{type(error).__name__}: {error}"
        missing = sorted(set(tensors) - set(known))
        return f"it has no {missing[0]}" if missing else None

    def _set_aside(self, names: list[str], faults: list[str]) -> None:
        """Else a broken one would count as the newest, for which whole ones are removed."""
        for name, fault in zip(names, faults, strict=True):
            logger(__name__).warning("checkpoint cannot be read, the one before it is", why=fault)
            if self.group.first:
                place = self.folder / f"broken-{name}"
                shutil.rmtree(place, ignore_errors=True)
                os.replace(self.folder / name, place)

    def _fill(self, found: Path, tensors: State) -> None:
        known = HuggingFaceStorageReader(str(found)).read_metadata().state_dict_metadata
        rng = {
            name: torch.empty_like(value)
            for name, value in _rng().items()
            if f"rng.{self.group.rank}.{name}" in known
        }
        wanted = tensors | {f"rng.{self.group.rank}.{name}": v for name, v in rng.items()}
        with torch.no_grad():
            load_tensors(
                wanted,
                storage_reader=HuggingFaceStorageReader(str(found)),
                process_group=self._channel,
                no_dist=self.group.size == 1,
            )
        # With more processes than wrote it, the new ones keep their fresh states: samples, noise
        # and times are functions of the sample's number, so no result depends on them.
        if "cpu" in rng:
            torch.set_rng_state(rng["cpu"])
        if "cuda" in rng and torch.cuda.is_available():
            torch.cuda.set_rng_state(rng["cuda"])
