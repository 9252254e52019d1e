"""Small honest networks and a small benchmark for the tests of the evaluation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from catalog.degradations import Degradation
from catalog.images import Rgb
from networks.interfaces import Identity, Judgement

SIDE = 96


@dataclass
class SharpnessJudge:
    """Severity from the mean gradient: few edges are blur, so severity 1; many are 5."""

    identity: Identity = field(default=Identity("sharpness-judge", "1"))
    fail_below: float = -1.0
    """Images darker than this mean cannot be judged."""
    calls: list[int] = field(default_factory=list)

    def judge(self, images: Sequence[Rgb], degradation: Degradation) -> list[Judgement]:
        self.calls.append(len(images))
        return [self._one(image) for image in images]

    def _one(self, image: Rgb) -> Judgement:
        if image.mean() < self.fail_below:
            return Judgement(None, failure="too dark to judge")
        grey = image.astype(float).mean(axis=2)
        gradient = np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()
        return Judgement(float(np.clip(1 + gradient / 6, 1, 5)))


@dataclass
class MeanDistance:
    """Mean absolute difference, 0..1."""

    identity: Identity = field(default=Identity("mean-distance", "1"))

    def distance(self, first: Rgb, second: Rgb) -> float:
        return float(np.abs(first.astype(float) - second.astype(float)).mean() / 255)


@dataclass
class Sharpener:
    """Unsharp masking of a given strength; 0 gives back the input."""

    percent: int = 150
    crash_on: frozenset[int] = frozenset()
    """Sums of the first row of images on which it dies."""
    made: int = 0

    @property
    def identity(self) -> Identity:
        return Identity("sharpener", str(self.percent))

    def supports(self, degradation: Degradation) -> bool:
        return True

    def restore(self, images: Sequence[Rgb], degradation: Degradation) -> list[Rgb]:
        for image in images:
            if int(image[0].sum()) in self.crash_on:
                raise ValueError("this image kills the restorer")
        self.made += len(images)
        sharp = ImageFilter.UnsharpMask(3, self.percent, 0)
        if not self.percent:
            return list(images)
        return [np.asarray(Image.fromarray(image).filter(sharp)) for image in images]


def photo(seed: int, side: int = SIDE) -> Rgb:
    """A blurred scene of random discs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    image = np.tile(rng.uniform(40, 200, 3), (side, side, 1))
    for _ in range(12):
        cy, cx, radius = rng.uniform(0, side, 3)
        inside = (y - cy) ** 2 + (x - cx) ** 2 < (radius / 3) ** 2
        image[inside] = rng.uniform(0, 255, 3)
    picture = Image.fromarray(image.astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(rng.uniform(1, 2.5))))


def write_benchmark(folder: Path, per_task: int = 4, tasks: int = 9) -> Path:
    """`per_task` photos in a folder of each of the first `tasks` degradations."""
    for index, task in enumerate(list(Degradation)[:tasks]):
        (folder / task).mkdir(parents=True)
        for number in range(per_task):
            picture = Image.fromarray(photo(1000 * index + number))
            picture.save(folder / task / f"{number:03d}.png")
    return folder


def judge_answers(count: int, seed: int) -> list[float]:
    """Grades 1..5."""
    rng = np.random.default_rng(seed)
    return [float(math.floor(value)) for value in rng.uniform(1, 5.999, count)]
