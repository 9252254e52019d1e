"""What all degraders share: severity, drawing and recording of parameters, identity."""

import hashlib
import math
from abc import ABC, abstractmethod
from typing import ClassVar, Generic, Protocol, TypeVar

import numpy as np

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from catalog.settings.base import Settings
from networks.interfaces import Identity

Drawn = dict[str, float | int | str]
"""Parameters of one degraded image, as drawn."""

MIN_SIDE = 32
MAX_SIDE = 65_000
"""JPEG, in which several of them end, takes 65,500 px a side."""

REFERENCE_SIDE = 512
_JITTER = 0.06
"""Half the width of the jitter of a graded value, as a share of its range: a quarter of a severity.

Twice as much let a picture asked for at 3 look milder than one asked for at 3.5.
"""

R = TypeVar("R", bound=Settings)
P = TypeVar("P")


class Draw:
    """Draws the parameters of one image from a generator and records each by name."""

    def __init__(self, rng: np.random.Generator, severity: float) -> None:
        self.rng = rng
        self.strength = (5.0 - severity) / 4.0
        """0 at severity 5 .. 1 at severity 1"""
        self.drawn: Drawn = {"severity": float(severity)}

    def graded(self, name: str, span: tuple[float, float]) -> float:
        """A value that moves from span[0] to span[1] with the strength, geometrically if it can."""
        place = float(np.clip(self.strength + self.rng.uniform(-_JITTER, _JITTER), 0.0, 1.0))
        first, last = span
        value = (
            first * (last / first) ** place
            if min(first, last) > 0
            else first + (last - first) * place
        )
        return self.record(name, float(value))

    def uniform(self, name: str, span: tuple[float, float]) -> float:
        """A value between the two ends."""
        return self.record(name, float(self.rng.uniform(*span)))

    def integer(self, name: str, span: tuple[int, int]) -> int:
        """A whole number, both ends included."""
        value = int(self.rng.integers(span[0], span[1] + 1))
        self.drawn[name] = value
        return value

    def chance(self, name: str, probability: float) -> bool:
        """Whether something of this probability happens."""
        value = bool(self.rng.random() < probability)
        self.drawn[name] = int(value)
        return value

    def kind(self, name: str, weights: dict[str, float]) -> str:
        """One key, by its weight."""
        names = sorted(weights)
        odds = np.array([weights[key] for key in names])
        value = names[int(self.rng.choice(len(names), p=odds / odds.sum()))]
        self.drawn[name] = value
        return value

    def record(self, name: str, value: float) -> float:
        """Keep a value that follows from others."""
        self.drawn[name] = value
        return value

    def seed(self) -> int:
        """The seed of a noise field, 63 bits; the field itself is made where the pixels are."""
        return int(self.rng.integers(2**63 - 1))

    def apart(self) -> np.random.Generator:
        """A generator for what takes more draws at another severity, so that all that is drawn
        after it stays the same.
        """
        return np.random.default_rng(self.seed())


class ParametricDegrader(ABC, Generic[R, P]):
    """A degradation whose parameters come from frozen ranges and a generator.

    The work has two halves. `plan` draws everything that is random into a `P`: numbers, kernels,
    small maps, drawn layers, seeds of noise. Rendering turns the plan into pixels, without a
    generator: here on NumPy arrays by OpenCV, in networks.degraders.tensors on a torch device. So
    one drawing serves both.

    The same image, severity, generator state, ranges and version give the same image.
    """

    degradation: ClassVar[Degradation]
    version: ClassVar[str] = "3"

    def __init__(self, ranges: R, *sources: str) -> None:
        """`sources` name what else the result depends on: estimators, folders by content."""
        self.ranges = ranges
        text = "\n".join([ranges.model_dump_json(), *sources])
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.identity = Identity(f"degrade-{self.degradation}", self.version, prompt=digest)

    def degrade(self, image: Rgb, severity: float, rng: np.random.Generator) -> Rgb:
        """(h, w, 3) uint8, at least 32 px a side -> the same size; `severity` 1 .. 5."""
        return self.degrade_with_parameters(image, severity, rng)[0]

    def degrade_with_parameters(
        self, image: Rgb, severity: float, rng: np.random.Generator
    ) -> tuple[Rgb, Drawn]:
        """The degraded image and what was drawn for it.

        Raises `UserError` for a severity outside 1..5 or an image that is too small or too large.
        """
        plan, drawn = self.plan(image, severity, rng)
        return self._render(image, plan), drawn

    def plan(self, image: Rgb, severity: float, rng: np.random.Generator) -> tuple[P, Drawn]:
        """What shall be done to `image`, and the parameters to record.

        Raises as `degrade_with_parameters`.
        """
        if not 1.0 <= severity <= 5.0 or math.isnan(severity):
            raise UserError(
                f"Severity {severity} is outside 1 (extreme) to 5 (barely visible).",
                "Give a number in between.",
            )
        if min(image.shape[:2]) < MIN_SIDE:
            raise UserError(
                f"An image of {image.shape[1]} x {image.shape[0]} px is too small to degrade.",
                f"Give one of at least {MIN_SIDE} px a side.",
            )
        if max(image.shape[:2]) > MAX_SIDE:
            raise UserError(
                f"An image of {image.shape[1]} x {image.shape[0]} px is too large to degrade.",
                f"Give one of at most {MAX_SIDE:,} px a side.",
            )
        draw = Draw(rng, severity)
        return self._plan(image, draw), draw.drawn

    @abstractmethod
    def _plan(self, image: Rgb, draw: Draw) -> P: ...

    @abstractmethod
    def _render(self, image: Rgb, plan: P) -> Rgb: ...


class RecordingDegrader(Protocol):
    """A degrader that says what it drew, whatever its pixels are computed on."""

    identity: Identity

    @property
    def degradation(self) -> Degradation:
        """What it stands for."""
        ...

    def degrade_with_parameters(
        self, image: Rgb, severity: float, rng: np.random.Generator
    ) -> tuple[Rgb, Drawn]:
        """As `ParametricDegrader.degrade_with_parameters`."""
        ...


def scale_of(image: Rgb) -> float:
    """What lengths in pixels are multiplied by: the short side over 512."""
    return min(image.shape[:2]) / REFERENCE_SIDE
