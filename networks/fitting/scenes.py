"""Scenes that a training is shown, made as it goes."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from networks.fitting.descent import ScenePlan

Scene = TypeVar("Scene")

FILLING = 25
"""Steps at the beginning whose scenes are all new."""


class _Fresh(Dataset[list[Any]]):
    """New scenes by step, the same whenever they are asked for."""

    def __init__(self, make: Callable[[np.random.Generator], Any], plan: ScenePlan, first: int):
        self.make, self.plan, self.first = make, plan, first

    def __len__(self) -> int:
        return max(self.plan.steps - self.first, 0)

    def __getitem__(self, index: int) -> list[Any]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng([self.plan.seed, self.first + index])
        # The first batches fill the pool that later ones draw from.
        count = self.plan.batch if index < FILLING else self.plan.fresh
        return [self.make(rng) for _ in range(count)]


def fresh_scenes(
    make: Callable[[np.random.Generator], Scene], plan: ScenePlan, first: int, workers: int = 1
) -> Iterator[tuple[int, np.random.Generator, list[Scene]]]:
    """Each step from `first` on: its number, its generator, the new scenes.

    Scenes are made by `make` in processes beside, the same however many `workers` there are.
    """
    # No threads of OpenCV when the loader forks: they would be waited for in the child, for ever.
    cv2.setNumThreads(1)
    # With a GPU a thread reads what the processes send, while the steps are given to it.
    loader = DataLoader(
        _Fresh(make, plan, first),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=8,
        pin_memory=torch.cuda.is_available(),
    )
    for step, new in enumerate(loader, first):
        yield step, np.random.default_rng([plan.seed, step, 1]), new


def scene_batches(
    make: Callable[[np.random.Generator], Scene], plan: ScenePlan, first: int, workers: int = 1
) -> Iterator[tuple[int, np.random.Generator, list[Scene], list[Scene]]]:
    """Each step from `first` on: its number, its generator, the new scenes and the kept ones."""
    pool: list[Scene] = []
    for step, rng, new in fresh_scenes(make, plan, first, workers):
        old = plan.batch - len(new)
        chosen: list[int] = rng.choice(len(pool), old, replace=False).tolist() if old else []
        kept = [pool[index] for index in chosen]
        pool = (pool + new)[-plan.kept :]
        yield step, rng, new, kept
