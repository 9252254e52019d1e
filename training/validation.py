"""Validation with fixed pairs, crops, noise and times: losses and PSNR gains by degradation."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from catalog.degradations import Degradation
from catalog.settings.training import Stage
from networks.student import flow
from networks.student.model import INSTRUCTIONS, StudentDiT
from networks.student.patches import to_tensor
from training.batches import Batch, crop
from training.draws import Pair
from training.images import PairImages
from training.objective import losses

TIMES = (0.2, 0.5, 0.8)
_SEED = 20_260_326
_CENTRE = (0.5, 0.5)


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

    def __init__(self, pairs: Sequence[Pair], images: PairImages, stage: Stage) -> None:
        self.stage = stage
        self.pairs = choose(pairs, stage.validation_pairs)
        self._crops = [
            tuple(to_tensor(np.ascontiguousarray(side)) for side in sides)
            for sides in (crop(*images.get(pair), stage.crop, _CENTRE) for pair in self.pairs)
        ]
        generator = torch.Generator().manual_seed(_SEED)
        self._noise = torch.randn(len(self.pairs), 3, stage.crop, stage.crop, generator=generator)

    def _batches(self, device: torch.device) -> Iterator[Batch]:
        size = self.stage.batch
        for first in range(0, len(self.pairs), size):
            part = slice(first, first + size)
            pairs = self.pairs[part]
            yield Batch(
                pairs=tuple(pairs),
                degraded=torch.stack([degraded for degraded, _ in self._crops[part]]),
                clean=torch.stack([clean for _, clean in self._crops[part]]),
                noise=self._noise[part],
                t=torch.zeros(len(pairs)),
                instruction=torch.tensor([INSTRUCTIONS.index(p.degradation) for p in pairs]),
            ).to(device)

    @torch.no_grad()
    def __call__(self, model: StudentDiT, device: torch.device) -> dict[str, Any]:
        """`loss` and `gain_db` over the tasks, and both by task; empty without any pair.

        `gain_db` is the PSNR of the restored crop minus that of the degraded one, the mean over
        the tasks' means.
        """
        loss: dict[str, list[float]] = defaultdict(list)
        gain: dict[str, list[float]] = defaultdict(list)
        steps = model.architecture.sampling_steps
        for batch in self._batches(device):
            restored = flow.sample(model, batch.degraded, batch.instruction, batch.noise, steps)
            gains = psnr(restored, batch.clean) - psnr(batch.degraded, batch.clean)
            found = torch.zeros(len(batch.pairs), device=device)
            for time in TIMES:
                timed = replace(batch, t=torch.full_like(batch.t, time))
                found += losses(model, timed, self.stage.loss) / len(TIMES)
            for pair, one_loss, one_gain in zip(
                batch.pairs, found.tolist(), gains.tolist(), strict=True
            ):
                loss[pair.degradation].append(one_loss)
                gain[pair.degradation].append(one_gain)
        row: dict[str, Any] = {}
        for name, values in (("loss", loss), ("gain_db", gain)):
            means = {task: float(np.mean(values[task])) for task in Degradation if task in values}
            if means:
                row[name] = float(np.mean(list(means.values())))
                row |= {f"{name}_{task}": mean for task, mean in means.items()}
        return row
