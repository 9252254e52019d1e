"""Which pair is the n-th sample: the nine tasks in turn, synthetic : real exact in every window.

The answer is a function of n alone, so that a position in the data is one number: a run resumes at
any sample, and any number of processes share the samples without talking to each other.

Sample n belongs to task n mod T (T tasks), so every T samples in a row hold each task once. Within
a task that has both origins, every window of (synthetic + real) / gcd draws in a row holds exactly
real / gcd real ones. A task with one origin draws from that one: the ratio then holds over the
tasks that have both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import numpy as np

from catalog.degradations import Degradation
from catalog.errors import UserError

ORIGINS = ("synthetic", "real")


@dataclass(frozen=True)
class Pair:
    """A row of the dataset (schemas.DATASET) that training needs."""

    pair_id: str
    degraded_id: str
    clean_id: str
    degradation: Degradation
    origin: str


@lru_cache(maxsize=64)
def _order(seed: tuple[int, ...], size: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(size)


class Draws:
    """The endless sequence of training pairs. Raises `UserError` when no pair can be drawn."""

    def __init__(self, pairs: Sequence[Pair], synthetic: int, real: int, seed: int) -> None:
        part = gcd(synthetic, real)
        self.window, self.real = (synthetic + real) // part, real // part
        self.seed = seed
        shares = {"synthetic": synthetic, "real": real}
        self.pools: dict[tuple[Degradation, str], list[Pair]] = {}
        for pair in sorted(pairs, key=lambda pair: pair.pair_id):
            # An origin with share 0 stays out even where a task has nothing else.
            if shares[pair.origin]:
                self.pools.setdefault((pair.degradation, pair.origin), []).append(pair)
        self.tasks = [
            task for task in Degradation if any((task, origin) in self.pools for origin in ORIGINS)
        ]
        self.missing = [task for task in Degradation if task not in self.tasks]
        if not self.tasks:
            wanted = " or ".join(origin for origin in ORIGINS if shares[origin])
            raise UserError(
                f"The dataset has no {wanted} training pair.",
                "Collect more images, or lower the thresholds of `pair` and `screen` in "
                "params.yaml; `results/metrics/assemble.json` says what was dropped.",
            )

    def origins(self, task: Degradation) -> list[str]:
        """The origins that `task` draws from."""
        return [origin for origin in ORIGINS if (task, origin) in self.pools]

    def _reals_before(self, draw: int, phase: int) -> int:
        return ((draw + phase) * self.real) // self.window - (phase * self.real) // self.window

    def _place(self, number: int) -> tuple[Degradation, str, int]:
        """Task, origin and how often that origin of that task was drawn before sample `number`."""
        draw, slot = divmod(number, len(self.tasks))
        task = self.tasks[slot]
        origins = self.origins(task)
        if len(origins) == 1:
            return task, origins[0], draw
        # The phase spreads the real draws of the tasks over the batches.
        reals = self._reals_before(draw, slot)
        if self._reals_before(draw + 1, slot) > reals:
            return task, "real", reals
        return task, "synthetic", draw - reals

    def __getitem__(self, number: int) -> Pair:
        task, origin, before = self._place(number)
        pool = self.pools[task, origin]
        epoch, index = divmod(before, len(pool))
        stream = list(Degradation).index(task), ORIGINS.index(origin)
        return pool[_order((self.seed, *stream, epoch), len(pool))[index]]

    def counts(self, samples: int) -> dict[str, dict[str, int]]:
        """How many of the first `samples` samples are of each task and origin."""
        totals = {str(task): dict.fromkeys(ORIGINS, 0) for task in self.tasks}
        for slot, task in enumerate(self.tasks):
            draws = (samples - slot + len(self.tasks) - 1) // len(self.tasks)
            origins = self.origins(task)
            if len(origins) == 1:
                totals[str(task)][origins[0]] = draws
            else:
                reals = self._reals_before(draws, slot)
                totals[str(task)] = {"synthetic": draws - reals, "real": reals}
        return totals
