"""Validation with fixed pairs, crops, noise and times: losses and PSNR gains by degradation."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from catalog.degradations import Degradation
from catalog.settings.training import Stage
from networks.student.model import INSTRUCTIONS
from networks.student.patches import to_tensor
from training.batches import Batch, Fit, noise_of_pixels
from training.draws import Pair
from training.images import PairImages
from training.parallel import World
from training.trainable import Trainable

_SEED = 20_260_326
_CENTRE = (0.5, 0.5)


def times_of(stage: Stage) -> tuple[float, ...]:
    """The t at which losses are measured: 1 alone where the model is trained at no other."""
    return (1.0,) if stage.timesteps == "one" else (0.2, 0.5, 0.8)


def choose(pairs: Sequence[Pair], most: int) -> list[Pair]:
    """At most `most` pairs a degradation, synthetic ones where there are any.

    The clean side of a real pair is a teacher's work, so synthetic pairs measure restoration and
    real ones would measure likeness to the teacher.
    """
    chosen: list[Pair] = []
    for task in Degradation:
        own = sorted((p for p in pairs if p.degradation is task), key=lambda p: p.pair_id)
        synthetic = [p for p in own if p.origin == "synthetic"]
        chosen += (synthetic or own)[:most]
    return chosen


def psnr(first: Tensor, second: Tensor) -> Tensor:
    """(batch,) peak signal-to-noise ratio in dB of (batch, 3, h, w) in -1..1, at most 60."""
    error = ((first.clamp(-1, 1) - second) / 2).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(error.clamp(min=1e-6))


class Validator:
    """Scores a model on a fixed set of pairs; the set is decoded once and kept."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        images: PairImages,
        stage: Stage,
        noise_shape: Callable[[int, int], tuple[int, ...]] = noise_of_pixels,
        multiple: int = 16,
    ) -> None:
        self.stage = stage
        self.pairs = choose(pairs, stage.validation_pairs)
        fit = Fit(stage, multiple)
        self._sides = [
            tuple(to_tensor(np.ascontiguousarray(side)) for side in sides)
            for sides in (fit(*images.get(pair), _CENTRE) for pair in self.pairs)
        ]
        generator = torch.Generator().manual_seed(_SEED)
        self._noise = [
            torch.randn(noise_shape(*clean.shape[-2:]), generator=generator)
            for _, clean in self._sides
        ]

    def _batch(self, first: int, size: int, device: torch.device) -> Batch:
        part = slice(first, first + size)
        pairs = self.pairs[part]
        return Batch(
            pairs=tuple(pairs),
            degraded=torch.stack([degraded for degraded, _ in self._sides[part]]),
            clean=torch.stack([clean for _, clean in self._sides[part]]),
            noise=torch.stack(self._noise[part]),
            t=torch.zeros(len(pairs)),
            instruction=torch.tensor([INSTRUCTIONS.index(p.degradation) for p in pairs]),
            styled=torch.zeros(len(pairs), dtype=torch.bool),
        ).to(device)

    def at_a_time(self, group: World) -> int:
        """Pairs in a batch: as many as in training."""
        return self.stage.micro_batch or max(1, self.stage.batch // group.size)

    @torch.no_grad()
    def __call__(
        self,
        trainable: Trainable,
        device: torch.device,
        keep: Callable[[Pair, Tensor, Tensor, Tensor], None] | None = None,
        group: World | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """`loss` and `gain_db` over the tasks, both by task, the loss by time; empty without pairs.

        `gain_db` is the PSNR of the restored crop minus that of the degraded one, the mean over
        the tasks' means. `keep` is given the first pair of each task with its degraded, restored
        and clean pixels. The processes of `group` share the work; `check` is called before each
        batch of each, and may raise.
        """
        group = group or World()
        size, times = self.at_a_time(group), times_of(self.stage)
        tasks = [pair.degradation for pair in self.pairs]
        shown = {tasks.index(task) for task in tasks}

        def measure(first: int) -> list[tuple[list[float], float]]:
            """Losses by time and the gain of each pair of a batch."""
            check()
            batch = self._batch(first, size, device)
            restored = trainable.restore(batch, self.stage.validation_steps)
            gains = psnr(restored, batch.clean) - psnr(batch.degraded, batch.clean)
            each = [
                trainable.losses(replace(batch, t=torch.full_like(batch.t, t)), self.stage.loss)
                for t in times
            ]
            for i, pair in enumerate(batch.pairs):
                if keep is not None and first + i in shown:
                    keep(pair, batch.degraded[i], restored[i], batch.clean[i])
            losses = torch.stack(each, dim=1).tolist()
            return list(zip(losses, gains.tolist(), strict=True))

        measured = group.spread(range(0, len(self.pairs), size), measure)
        found = [one for part in measured for one in part]
        loss: dict[str, list[float]] = defaultdict(list)
        gain: dict[str, list[float]] = defaultdict(list)
        by_time: dict[float, list[float]] = defaultdict(list)
        for task, (losses, gained) in zip(tasks, found, strict=True):
            loss[task].append(sum(losses) / len(losses))
            gain[task].append(gained)
            for t, value in zip(times, losses, strict=True):
                by_time[t].append(value)
        row: dict[str, Any] = {}
        for name, values in (("loss", loss), ("gain_db", gain)):
            means = {task: float(np.mean(values[task])) for task in Degradation if task in values}
            if means:
                row[name] = float(np.mean(list(means.values())))
                row |= {f"{name}_{task}": mean for task, mean in means.items()}
        row |= {f"loss_t{time:g}": float(np.mean(each)) for time, each in by_time.items()}
        return row
