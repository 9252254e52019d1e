"""Batches of crops with noise and times; every random choice is a function of (seed, sample)."""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from catalog.images import Rgb
from catalog.settings.training import Stage
from networks.editing.sizes import buckets, nearest_bucket
from networks.student.model import INSTRUCTIONS, NO_INSTRUCTION
from networks.student.patches import to_tensor
from training import timesteps
from training.draws import Draws, Pair
from training.fresh import Fresh
from training.images import PairImages

T = TypeVar("T")
WebStyle = Callable[[Rgb, np.random.Generator], Rgb]


@dataclass(frozen=True)
class Batch:
    """Samples of one shape; images are (batch, 3, h, w) float32 in -1..1."""

    pairs: tuple[Pair, ...]
    degraded: Tensor
    clean: Tensor
    noise: Tensor
    """Standard normal."""
    t: Tensor
    """(batch,) in 0..1"""
    instruction: Tensor
    """(batch,) int64, rows of the instruction embedding."""
    styled: Tensor
    """(batch,) bool: the degraded side is changed at random, so it does not come again."""

    def part(self, first: int, stop: int) -> "Batch":
        """Samples `first` to `stop` (not included)."""
        cut: dict[str, Any] = {name: value[first:stop] for name, value in vars(self).items()}
        return Batch(**cut)

    def to(self, device: torch.device) -> "Batch":
        """The same batch with its tensors on `device`."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved)


def crop(degraded: Rgb, clean: Rgb, side: int, corner: tuple[float, float]) -> tuple[Rgb, Rgb]:
    """The same square of both images; `corner` in 0..1 places it. Smaller images are mirrored."""
    height, width = clean.shape[:2]
    if height < side or width < side:
        spare = ((0, max(0, side - height)), (0, max(0, side - width)), (0, 0))
        degraded, clean = (np.pad(image, spare, "symmetric") for image in (degraded, clean))
        height, width = clean.shape[:2]
    top, left = int(corner[0] * (height - side + 1)), int(corner[1] * (width - side + 1))
    window = slice(top, top + side), slice(left, left + side)
    return degraded[window], clean[window]


def cover(image: Rgb, size: tuple[int, int]) -> Rgb:
    """Resized (Lanczos) so that it covers (height, width), the rest cut away evenly."""
    height, width = image.shape[:2]
    scale = max(size[0] / height, size[1] / width)
    wide, high = max(size[1], round(width * scale)), max(size[0], round(height * scale))
    if (high, wide) != (height, width):
        image = np.asarray(Image.fromarray(image).resize((wide, high), Image.Resampling.LANCZOS))
    top, left = (high - size[0]) // 2, (wide - size[1]) // 2
    return image[top : top + size[0], left : left + size[1]]


class Fit:
    """Both sides of a pair brought to the shape they are trained at, alike to the pixel."""

    def __init__(self, stage: Stage, multiple: int) -> None:
        self.stage, self.multiple = stage, multiple
        self.buckets = buckets(stage.crop, multiple) if stage.shapes == "buckets" else []

    def __call__(self, degraded: Rgb, clean: Rgb, corner: tuple[float, float]) -> tuple[Rgb, Rgb]:
        """`corner` in 0..1 places a crop; resized images are cut in the middle."""
        side = self.stage.crop
        if self.stage.shapes == "crop":
            return crop(degraded, clean, side, corner)
        height, width = clean.shape[:2]
        size = nearest_bucket(height, width, self.buckets) if self.buckets else (side, side)
        return cover(degraded, size), cover(clean, size)


def noise_of_pixels(height: int, width: int) -> tuple[int, ...]:
    """The shape of noise for a network on pixels."""
    return 3, height, width


class BatchMaker:
    """Makes the batch of any step, independent of all others."""

    def __init__(
        self,
        draws: Draws,
        images: PairImages,
        stage: Stage,
        web_style: WebStyle | None = None,
        noise_shape: Callable[[int, int], tuple[int, ...]] = noise_of_pixels,
        multiple: int = 16,
        fresh: Fresh | None = None,
    ) -> None:
        """`noise_shape` of a sample's height and width; sides of buckets are multiples of
        `multiple` pixels.
        """
        self.fresh = fresh
        self.draws, self.images, self.stage, self.web_style = draws, images, stage, web_style
        self.noise_shape, self.fit = noise_shape, Fit(stage, multiple)

    def _sides(self, pair: Pair, number: int) -> tuple[Rgb, Rgb, bool]:
        """Both sides of `pair`, and whether the degraded one was made anew."""
        if self.fresh is not None and pair.origin == "synthetic":
            rng = np.random.default_rng((self.stage.seed, 2, number))  # leaves other draws alone
            if rng.random() < self.stage.fresh:
                clean = self.images.image(pair.clean_id)
                return self.fresh(clean, pair.degradation, rng), clean, True
        return *self.images.get(pair), False

    def sample(self, number: int) -> dict[str, Any]:
        """The fields of `Batch` for sample `number`, without the batch axis."""
        stage = self.stage
        pair = self.draws[number]
        rng = np.random.default_rng((stage.seed, 1, number))
        corner = (float(rng.random()), float(rng.random()))
        flip, styled, dropped = rng.random(3)
        t = timesteps.draw(stage.timesteps, stage.shift, rng)
        noise = torch.Generator().manual_seed(int(rng.integers(2**63)))
        first, second, anew = self._sides(pair, number)
        degraded, clean = self.fit(first, second, corner)
        if stage.flip and flip < 0.5:
            degraded, clean = degraded[:, ::-1], clean[:, ::-1]
        style = self.web_style is not None and styled < stage.web_style
        if style and self.web_style is not None:
            degraded = self.web_style(np.ascontiguousarray(degraded), rng)
        instruction = INSTRUCTIONS.index(pair.degradation)
        return {
            "pairs": pair,
            "degraded": to_tensor(degraded),
            "clean": to_tensor(clean),
            "noise": torch.randn(self.noise_shape(*clean.shape[:2]), generator=noise),
            "t": torch.tensor(t, dtype=torch.float32),
            "instruction": torch.tensor(
                NO_INSTRUCTION if dropped < stage.instruction_dropout else instruction
            ),
            # A random crop hardly comes again either.
            "styled": torch.tensor(style or anew or stage.shapes == "crop"),
        }

    def _samples(self, step: int, rank: int, ranks: int) -> list[dict[str, Any]]:
        first = step * self.stage.batch
        return [self.sample(first + i) for i in range(rank, self.stage.batch, ranks)]

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The batch of `step` (from 0), or the part of it that process `rank` of `ranks` takes.

        Only where all samples are of one shape.
        """
        return collate(self._samples(step, rank, ranks))

    def micro_batches(self, step: int, rank: int = 0, ranks: int = 1) -> list[Batch]:
        """The same samples in order, in micro-batches of one shape each."""
        samples = self._samples(step, rank, ranks)
        size = self.stage.micro_batch or len(samples)
        return [collate(samples[i : i + size]) for i in range(0, len(samples), size)]


def collate(samples: list[dict[str, Any]]) -> Batch:
    """Samples of one shape as a batch."""
    tensors = {
        name: torch.stack([sample[name] for sample in samples])
        for name in ("degraded", "clean", "noise", "t", "instruction", "styled")
    }
    return Batch(pairs=tuple(sample["pairs"] for sample in samples), **tensors)


def prefetch(
    make: Callable[[int], T], start: int, stop: int, workers: int
) -> Generator[T, None, None]:
    """`make(start)` .. `make(stop - 1)` in order, made by `workers` threads ahead of need."""
    if workers == 0:
        yield from map(make, range(start, stop))
        return
    pool = ThreadPoolExecutor(workers, "batches")
    waiting: deque[Future[T]] = deque()
    try:
        for step in range(start, stop):
            waiting.append(pool.submit(make, step))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
