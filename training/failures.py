"""What goes wrong in a step, in words: no memory, a loss that is no number, a process that died."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from catalog.errors import UserError
from catalog.settings.training import SMALLEST_CROP, Stage
from training.draws import Pair
from training.parallel import World


def out_of_memory(stage: Stage, samples: int, multiple: int) -> UserError:
    """What to change, and by how much, for a process with `samples` of a batch.

    A crop that is proposed is a multiple of `multiple`.
    """
    now = min(stage.micro_batch or samples, samples)
    rank = stage.lora_rank
    if now > 1:
        advice = (
            f"Set micro_batch to {now // 2} (now {now}), which halves the activations and changes "
            "no result."
        )
    elif stage.activation_checkpointing in ("none", "selective"):
        advice = (
            f"Set activation_checkpointing to full (now {stage.activation_checkpointing}), which "
            "keeps one activation a block."
        )
    elif not rank and stage.optimizer == "adamw":
        advice = "Set optimizer to adamw-8bit, which takes a quarter of the states' memory."
    elif not rank and stage.free_gradients == "no":
        advice = "Set free_gradients to lagged, which keeps one layer's gradients at a time."
    elif not rank:
        advice = "Set lora_rank to 64, or train on more processes with torchrun."
    else:
        advice = f"Set {_smaller(stage, multiple)}"
    return UserError("The device has too little memory for a training step.", advice)


def validation_out_of_memory(stage: Stage, samples: int, multiple: int) -> UserError:
    """The same for a validation, which restores `samples` at a time and keeps no activations."""
    advice = (
        f"Set micro_batch to {samples // 2} (now {samples}), which changes no result."
        if samples > 1
        else f"Set network.offload to true where it is false, or {_smaller(stage, multiple)}"
    )
    return UserError("The device has too little memory for a validation.", advice)


@contextmanager
def memory_of(advice: Callable[[], UserError]) -> Iterator[None]:
    """Turn a lack of memory into the `UserError` that `advice` makes."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise advice() from error


def _smaller(stage: Stage, multiple: int) -> str:
    smaller = stage.crop * 7 // 10 // multiple * multiple
    if smaller < SMALLEST_CROP:
        return f"network to a smaller model; crop cannot go lower (now {stage.crop})."
    return f"crop to {smaller} (now {stage.crop}), which halves the tokens."


def not_finite(step: int, pairs: list[Pair], loss: float, norm: float, kept: str) -> UserError:
    """Names the images of the batch of `step` (from 0); `kept` says what state is left."""
    images = ", ".join(sorted({pair.degraded_id for pair in pairs}))
    return UserError(
        f"Step {step + 1}: the loss is {loss} and the gradient's norm {norm}. "
        f"Degraded images of the batch: {images}. Last good state: {kept}.",
        "Lower learning_rate or clip, or look at these images and block a broken one with "
        "`mendline takedown`; nothing of this step was kept.",
    )


_SIGNS = ("gloo", "nccl", "connection closed", "connection reset", "timed out", "peer", "store")


@contextmanager
def one_of_many(group: World, kept: Callable[[], str]) -> Iterator[None]:
    """Turn a failed exchange between processes into a `UserError` that says what to do."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, dist.DistError) as error:
        words = str(error).lower()
        if group.size == 1 or not any(sign in words for sign in _SIGNS):
            raise
        raise UserError(
            f"Process {group.rank} of {group.size} lost another process of this run: it was "
            f"killed, ran out of memory, or its machine went away ({str(error).splitlines()[0]}).",
            f"Look for the first error in the other processes' logs. Last good state: {kept()}. "
            "Start the same command again, on as many processes as you like.",
        ) from error
