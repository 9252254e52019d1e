"""The training loop: one readable pass from the first step to the last, resumable at any."""

import math
import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from catalog.errors import UserError
from catalog.files import atomic_folder
from catalog.log import logger
from catalog.progress import track
from catalog.settings.training import Stage
from networks.editing.attention import kernels
from training import abandoned, failures
from training.average import Average
from training.batches import Batch, BatchMaker, prefetch
from training.checkpoint import Checkpoints, Progress, state_of
from training.draws import Pair
from training.freed import FreedGradients
from training.live import STEPS, VALIDATIONS, LiveLog
from training.optimizer import learning_rate, make_optimizer, optimizer_step, set_rate
from training.parallel import World, apply, learning, model_state, require_shareable, whole
from training.precision import Precision
from training.recompute import fit_memory
from training.samples import Samples
from training.scoring import Scorer
from training.stopping import Stopped, StopRequest
from training.throughput import Throughput
from training.trainable import Trainable
from training.validation import Validator

BEST = "best"


class Trainer:
    """Trains a network on the batches of `maker`; state below `scratch`, so a kill loses little.

    The best model by `select_by` is in the folder `best`, the last one where nothing can be scored.
    """

    def __init__(
        self,
        trainable: Trainable,
        maker: BatchMaker,
        validator: Validator,
        stage: Stage,
        scratch: Path,
        throughput_log: Path,
        group: World | None = None,
        scorer: Scorer | None = None,
    ) -> None:
        self.scorer = scorer
        self.stage, self.maker, self.validator, self.scratch = stage, maker, validator, scratch
        self.group = group or World()
        self.precision = Precision.of(stage)
        self.trainable, self.model = trainable, trainable.module
        # Sharding brings block by block to the device, which never holds the whole network.
        apply(self.model, stage, self.group)
        trainable.to(self.precision.device)
        require_shareable(self.model, stage, self.group)
        parameters = learning(self.model).values()
        self.freed = FreedGradients(parameters, stage) if stage.free_gradients != "no" else None
        self.optimizer = None if self.freed else make_optimizer(parameters, stage)
        self.average = Average(self.model, stage.ema) if stage.ema else None
        self.progress = Progress()
        self._stop = StopRequest()
        self.checkpoints = Checkpoints(scratch, stage.keep_checkpoints, self.group)
        self.samples = Samples(throughput_log.parent / "samples")
        self.steps_log = LiveLog(throughput_log.with_name(STEPS))
        self.validations_log = LiveLog(throughput_log.with_name(VALIDATIONS))
        self.throughput = Throughput(throughput_log, trainable, self.group.size, every=20)
        self._log = logger(__name__)

    @property
    def best(self) -> Path:
        """The folder of the best model.

        One a step: after a kill an earlier model may be the best one again, since the same step on
        a GPU, or asked of the same judge, need not score as it did.
        """
        return self._best(self.progress.best_step)

    def _best(self, step: int) -> Path:
        return self.scratch / f"{BEST}-{step:07d}"

    def _states(self, parameter: Any) -> dict[str, Tensor]:
        own = self.freed.optimizers[parameter] if self.freed else self.optimizer
        assert own is not None
        return state_of(own, parameter)

    def run(self) -> Progress:
        """Train to the last step (or until patience ends); return what happened.

        Raises `UserError` for a loss that is not finite, for too little memory, and when another
        process of the run died. Exits with status 128 + signal after SIGTERM or Ctrl-C, with a
        checkpoint of the last step done.
        """
        with (
            StopRequest() as stop,
            failures.one_of_many(self.group, self.checkpoints.describe),
            kernels(self.stage.attention, self.precision.device),
        ):
            whole_before = self.checkpoints.finished()
            if whole_before is not None:
                self._log.info("was finished", step=whole_before.step)
                self.progress = whole_before
                self._require_best()
                self._begin_logs()
                self._end_logs()
                return self.progress
            found = self.checkpoints.load(self.model, self._states, self.average)
            if found is not None:
                self.progress = found
                self._require_best()
                self._prune()
                if self.freed:
                    self.freed.last_norm = found.last_norm
                self._log.info("resumed", step=found.step)
            elif self.group.first:
                abandoned.warn(self.scratch)
            self._begin_logs()
            self._stop = stop
            try:
                if self._owed():
                    self._validate()
                    if found is not None:
                        self.checkpoints.amend(self.progress)
                        self._prune()
            except Stopped:
                raise SystemExit(stop.status) from None
            self._train(stop)
            self.checkpoints.wait()
            self._end_logs()
        return self.progress

    def _end_logs(self) -> None:
        self.steps_log.close()
        self.validations_log.close()

    def _require_best(self) -> None:
        named = self.group.first and self.progress.best_step >= 0
        if self.group.any(named and not self.best.is_dir()):
            raise UserError(
                f"The best model so far, {self.best}, is gone; the run cannot go on without it.",
                f"Remove {self.scratch} to start anew.",
            )

    def _prune(self) -> None:
        """Remove models that are best neither now nor in a checkpoint that may be gone on from."""
        if self.group.first:
            named = {self.progress.best_step, *self.checkpoints.best_steps()}
            kept = {self._best(step) for step in named}
            torn = self.scratch.glob(f".{BEST}-*")  # by a kill
            for folder in {*torn, *self.scratch.glob(f"{BEST}-*")} - kept:
                shutil.rmtree(folder)

    def _begin_logs(self) -> None:
        if self.group.first:
            self.steps_log.begin(self.progress.log)
            self.validations_log.begin(self.progress.validations)
            self.throughput.begin(self.progress.step)

    def _train(self, stop: StopRequest) -> None:
        stage, group = self.stage, self.group
        steps = range(self.progress.step, stage.steps)
        batches = prefetch(
            lambda step: self.maker.micro_batches(step, group.rank, group.size),
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
            batch = [part.to(self.precision.device) for part in batch]
            if step == steps.start and stage.activation_checkpointing == "auto":
                self._fit_memory(batch)
            row = self._step(step, batch)
            self.progress.log.append(row)
            self.steps_log.add(row)
            self.progress.step = done = step + 1
            if group.first:
                self.throughput.step(done, batch, self.precision.device)
            stopping = group.any(stop.signal is not None)
            saved = stopping or done % stage.checkpoint_every == 0 or done == stage.steps
            if saved:  # first, so that a validation that fails costs no step
                self._save()
            if self._owed() and not stopping:
                try:
                    self._validate()
                    if saved:
                        self.checkpoints.amend(self.progress)
                        self._prune()
                except Stopped:
                    stopping = True
                    if not saved:
                        self._save()
            if stopping:
                self.checkpoints.wait()
                self._log.info("stopped, the same command continues", step=done)
                batches.close()
                raise SystemExit(stop.status)
        batches.close()

    def _owed(self) -> bool:
        """Whether a validation of the last step is due and was not made, as before a stop."""
        done, rows = self.progress.step, self.progress.validations
        due = done % self.stage.validate_every == 0 or done == self.stage.steps
        return due and not (rows and rows[-1]["step"] == done)

    def _check(self) -> None:
        """A validation takes long: raise `Stopped`, in all processes, where one was asked to."""
        if self.group.any(self._stop.signal is not None):
            raise Stopped

    def _exhausted(self) -> bool:
        return bool(self.stage.patience) and self.progress.stale >= self.stage.patience

    def _fit_memory(self, batch: list[Batch]) -> None:
        """Run as many blocks once only as the memory allows, before the first step."""

        def step() -> None:
            self._backward(batch[:2])  # the second finds the first one's gradients
            self.model.zero_grad(set_to_none=True)

        with self._memory_of(batch):
            for parameter in learning(self.model).values():
                self._states(parameter)  # so that they are part of what is measured
            with self.freed.measuring() if self.freed else nullcontext():
                spared = fit_memory(self.model, step, alone=self.group.size == 1)
        self._log.info("activation checkpointing", blocks_not_recomputed=spared)

    def _memory_of(self, batch: list[Batch]) -> AbstractContextManager[None]:
        """Where it is too little for this batch, a `UserError` says what to change."""
        samples, multiple = sum(len(part.pairs) for part in batch), self.maker.fit.multiple
        return failures.memory_of(lambda: failures.out_of_memory(self.stage, samples, multiple))

    def _step(self, step: int, batch: list[Batch]) -> dict[str, Any]:
        """One optimizer step; its row of the log."""
        rate = learning_rate(self.stage, step)
        self.model.train()
        with self._memory_of(batch):
            if self.freed is not None:
                each, norm = self.freed.step(lambda: self._backward(batch), rate)
            else:
                each, norm = self._gradients(batch)
        values = self.group.gather(each.tolist())
        pairs: list[Pair] = self.group.gather([pair for part in batch for pair in part.pairs])
        loss = sum(values) / len(values)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.checkpoints.wait()
            raise failures.not_finite(step, pairs, loss, norm, self.checkpoints.describe())
        if self.optimizer is not None:
            set_rate(self.optimizer, rate)
            optimizer_step(self.optimizer)
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

    def _gradients(self, batch: list[Batch]) -> tuple[Tensor, float]:
        """Clipped gradients of the batch; its losses and the norm before clipping."""
        each = self._backward(batch)
        norm = torch.nn.utils.clip_grad_norm_(learning(self.model).values(), self.stage.clip)
        return each, whole(norm).item()

    def _backward(self, batch: list[Batch]) -> Tensor:
        """Gradients of the mean loss over the batch of this process; the loss of each sample."""
        size = sum(len(part.pairs) for part in batch)
        found = []
        for part in batch:
            with self.precision.autocast():
                each = self.trainable.losses(part, self.stage.loss)
            (each.sum() / size).backward()
            found.append(each.detach())
        return torch.cat(found)

    def _averaged(self, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """`run` with the averages in the weights' place."""
        if self.average is None:
            return run()
        self.average.swap(self.model)
        try:
            return run()
        finally:
            self.average.swap(self.model)

    def _validate(self) -> None:
        """Score the weights; keep them as best when no earlier score is as good."""
        stage, at_a_time, multiple = self.stage, self.validator.at_a_time, self.maker.fit.multiple
        with failures.memory_of(
            lambda: failures.validation_out_of_memory(stage, at_a_time(self.group), multiple)
        ):
            row = self._averaged(self._score)
        progress = self.progress
        self._log.info(
            "validated",
            step=progress.step,
            **{
                name: round(row[name], 4)
                for name in ("loss", "gain_db", "fs", "proxy_fs")
                if name in row
            },
            best_step=progress.best_step,
        )
        self.throughput.pause()

    def _score(self) -> dict[str, Any]:
        progress = self.progress
        self.model.eval()
        keep = self.samples.keeper(progress.step)
        with self.precision.autocast():
            row = self.validator(
                self.trainable, self.precision.device, keep, self.group, self._check
            )
        score = row.get("gain_db")
        if self.scorer is not None:
            row |= self._benchmark(self.scorer)
            if self.stage.select_by == "score":
                score = row.get(self.scorer.name)
        row = {"step": progress.step, **row}
        progress.validations.append(row)
        self.validations_log.add(row)
        if score is not None and not math.isfinite(score):
            score = None
        best = progress.best_score
        if best is None or (score is not None and score > best):
            progress.best_step, progress.best_score, progress.stale = progress.step, score, 0
            weights = model_state(
                self.model, self.group, self.trainable.kept, self.trainable.kinds()
            )
            if self.group.first:
                with atomic_folder(self.best) as folder:
                    self.trainable.save(folder, weights)
            self._prune()
        else:
            progress.stale += 1
        return row

    def _benchmark(self, scorer: Scorer) -> dict[str, Any]:
        """The benchmark's score on the fixed set: all restore, the first process judges."""
        restorer = self.trainable.restorer(self.stage)
        sharing = self.group if self.trainable.even else World()
        with torch.no_grad(), self.precision.autocast():
            restored = scorer.restored(restorer, sharing, self._check)
        return self.group.first_only(lambda: scorer.score(restored))

    def _save(self) -> None:
        self.progress.last_norm = self.freed.last_norm if self.freed else None
        self.checkpoints.save(self.model, self._states, self.average, self.progress)
        self.throughput.pause()

    def finish(self) -> None:
        """Leave the best model and the rows of the logs, once the stage's output is whole.

        Until a run of other settings begins: who asked for the stage may be killed before it has
        noted the output, and then asks for all of it again. Unfinished runs beside it are removed.
        """
        self.checkpoints.finish(self.progress)
        abandoned.remove(self.scratch)
