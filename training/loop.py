"""The training loop: one readable pass from the first step to the last, resumable at any."""

import math
import shutil
import time
from collections import defaultdict
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from catalog.errors import UserError
from catalog.files import atomic_folder
from catalog.log import logger
from catalog.progress import track
from catalog.settings.training import Stage
from networks.student.files import save_student
from networks.student.model import StudentDiT
from training import checkpoint
from training.average import Average
from training.batches import Batch, BatchMaker, prefetch
from training.checkpoint import Progress
from training.draws import Pair
from training.objective import losses
from training.optimizer import learning_rate, make_optimizer
from training.parallel import World, apply, model_state, whole
from training.stopping import StopRequest
from training.throughput import Throughput
from training.validation import Validator

BEST = "best"


@dataclass(frozen=True)
class Precision:
    """Where and in which precision the network runs."""

    device: torch.device
    bf16: bool

    @classmethod
    def of(cls, stage: Stage) -> "Precision":
        """A GPU where there is one; bf16 by the stage's setting."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        bf16 = stage.precision == "bf16" or (stage.precision == "auto" and device.type == "cuda")
        return cls(device, bf16)

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 matrix products where `bf16`, else nothing."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


class Trainer:
    """Trains `model` on the batches of `maker`; state below `scratch`, so that a kill loses little.

    The best model by validation score is in `scratch`/best. Without validation pairs it is the
    last one.
    """

    def __init__(
        self,
        model: StudentDiT,
        maker: BatchMaker,
        validator: Validator,
        stage: Stage,
        scratch: Path,
        throughput_log: Path,
        group: World | None = None,
    ) -> None:
        self.stage, self.maker, self.validator, self.scratch = stage, maker, validator, scratch
        self.group = group or World()
        self.precision = Precision.of(stage)
        self.model = model.to(self.precision.device)
        apply(self.model, stage, self.group)
        self.optimizer = make_optimizer(self.model, stage)
        self.average = Average(self.model, stage.ema) if stage.ema else None
        self.progress = Progress()
        self.throughput = Throughput(
            throughput_log, stage.batch, model.flops(stage.crop, stage.crop), every=20
        )
        self._log = logger(__name__)

    def run(self) -> Progress:
        """Train to the last step (or until patience ends); return what happened.

        Raises `UserError` for a loss that is not finite. Exits with status 128 + signal after
        SIGTERM or Ctrl-C, with a checkpoint of the last step done.
        """
        with StopRequest() as stop:
            found = checkpoint.load(
                self.scratch, self.model, self.optimizer, self.average, self.group
            )
            if found is not None:
                self.progress = found
                self._log.info("resumed", step=found.step)
            else:
                self._validate()
            self._train(stop)
        return self.progress

    def _train(self, stop: StopRequest) -> None:
        stage, device = self.stage, self.precision.device
        steps = range(self.progress.step, stage.steps)
        group = self.group
        batches = prefetch(
            lambda step: self.maker.batch(step, group.rank, group.size),
            steps.start,
            steps.stop,
            stage.workers,
        )
        for step in track(steps, "training steps"):
            if self._exhausted():
                break
            began = time.perf_counter()
            batch = next(batches)
            self.throughput.waited(time.perf_counter() - began)
            self.progress.log.append(self._step(step, batch.to(device)))
            self.progress.step = done = step + 1
            if group.first:
                self.throughput.step(done, device)
            stopping = group.any(stop.signal is not None)
            if done % stage.validate_every == 0 or done == stage.steps:
                self._validate()
            if stopping or done % stage.checkpoint_every == 0 or done == stage.steps:
                self._save()
            if stopping:
                self._log.info("stopped, the same command continues", step=done)
                batches.close()
                raise SystemExit(stop.status)
        batches.close()

    def _exhausted(self) -> bool:
        return bool(self.stage.patience) and self.progress.stale >= self.stage.patience

    def _step(self, step: int, batch: Batch) -> dict[str, Any]:
        """One optimizer step; its row of the log."""
        stage = self.stage
        rate = learning_rate(stage, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        try:
            each = self._backward(batch)
        except torch.OutOfMemoryError as error:
            raise self._too_large(len(batch.pairs)) from error
        norm = whole(
            torch.nn.utils.clip_grad_norm_(
                [p for p in self.model.parameters() if p.requires_grad], stage.clip
            )
        ).item()
        values = self.group.gather(each.tolist())
        pairs = self.group.gather(list(batch.pairs))
        loss = sum(values) / len(values)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._refuse(step, pairs, loss, norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.model, step)
        by_task = defaultdict(list)
        for pair, value in zip(pairs, values, strict=True):
            by_task[f"loss_{pair.degradation}"].append(value)
        return {
            "step": step + 1,
            "loss": loss,
            "lr": rate,
            "grad_norm": norm,
            **{name: sum(part) / len(part) for name, part in sorted(by_task.items())},
        }

    def _too_large(self, samples: int) -> UserError:
        stage = self.stage
        now = min(stage.micro_batch or samples, samples)
        advice = (
            f"Set micro_batch to {now // 2} (now {now}), which halves the activations and changes "
            "no result."
            if now > 1
            else "Set activation_checkpointing to full."
            if stage.activation_checkpointing == "none"
            else f"Set crop below {stage.crop}, or train on more processes with torchrun."
        )
        return UserError("The device has too little memory for a training step.", advice)

    def _backward(self, batch: Batch) -> Tensor:
        """Gradients of the mean loss over the batch of this process; the loss of each sample."""
        size = len(batch.pairs)
        micro = self.stage.micro_batch or size
        parts = []
        for first in range(0, size, micro):
            with self.precision.autocast():
                part = losses(self.model, batch.part(first, first + micro), self.stage.loss)
            (part.sum() / size).backward()
            parts.append(part.detach())
        return torch.cat(parts)

    def _refuse(self, step: int, pairs: list[Pair], loss: float, norm: float) -> None:
        images = ", ".join(sorted({pair.degraded_id for pair in pairs}))
        kept = sorted(self.scratch.glob("step-*"))
        last = f"the checkpoint of step {int(kept[-1].name[5:])} is kept" if kept else "none yet"
        raise UserError(
            f"Step {step + 1}: the loss is {loss} and the gradient's norm {norm}. "
            f"Degraded images of the batch: {images}. Last good state: {last}.",
            "Lower learning_rate or clip, or look at these images and block a broken one with "
            "`mendline takedown`; nothing of this step was kept.",
        )

    def _validate(self) -> None:
        """Score the weights; keep them as best when no earlier score is as good."""
        if self.average is not None:
            self.average.swap(self.model)
        self.model.eval()
        with self.precision.autocast():
            row = self.validator(self.model, self.precision.device)
        progress = self.progress
        progress.validations.append({"step": progress.step, **row})
        score = row.get("gain_db")
        if score is not None and not math.isfinite(score):
            score = None
        if score is None or progress.best_score is None or score > progress.best_score:
            progress.best_step, progress.best_score, progress.stale = progress.step, score, 0
            weights = model_state(self.model, self.group)
            if self.group.first:
                with atomic_folder(self.scratch / BEST) as folder:
                    save_student(self.model, folder, weights)
        else:
            progress.stale += 1
        if self.average is not None:
            self.average.swap(self.model)
        self._log.info(
            "validated",
            step=progress.step,
            **{name: round(row[name], 4) for name in ("loss", "gain_db") if name in row},
            best_step=progress.best_step,
        )
        self.throughput.pause()

    def _save(self) -> None:
        checkpoint.save(
            self.scratch, self.model, self.optimizer, self.average, self.progress, self.group
        )
        self.throughput.pause()

    def discard(self) -> None:
        """Remove the scratch state, once the stage's output is whole."""
        shutil.rmtree(self.scratch, ignore_errors=True)
