"""What the rooms ask of a network: four interfaces, and a fifth that undoes what a Restorer does.

Images are (height, width, 3) uint8 sRGB arrays of any size, each in a batch of its own size. Every
network carries an `Identity`; what it computes is stored with it, cached by it, and never compared
across it.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb


@dataclass(frozen=True)
class Identity:
    """Who computed something: equal identities give comparable numbers.

    `weights` is a SHA-256 of the weights file ("none" for classical code), `prompt` one of the
    prompt texts ("none" where there are none). `trained` is False for weights that are random.
    """

    name: str
    version: str
    weights: str = "none"
    prompt: str = "none"
    trained: bool = True

    def __str__(self) -> str:
        mark = "" if self.trained else " (untrained)"
        return f"{self.name}/{self.version}@{self.weights[:12]}+{self.prompt[:12]}{mark}"

    @property
    def digest(self) -> str:
        """SHA-256 over all fields, for cache keys."""
        fields = (self.name, self.version, self.weights, self.prompt, str(self.trained))
        return hashlib.sha256("\n".join(fields).encode()).hexdigest()


@dataclass(frozen=True)
class Judgement:
    """A judge's answer for one image and one degradation."""

    severity: float | None
    """1 (extreme) .. 5 (none); None where the judge failed."""

    confidence: float = 1.0
    """0..1"""

    failure: str | None = None
    """Why there is no severity."""

    advisory: bool = False
    """The judge is known to be weak on this degradation."""

    scores: Mapping[str, float] = field(default_factory=dict)
    """The measures behind the answer."""

    presence: float | None = None
    """How surely it is there, on the scale of the severity: what thresholds of screening are for.

    Comparable between degradations, as the severity need not be. The severity itself where a judge
    does not tell the two apart.
    """

    def __post_init__(self) -> None:
        if self.presence is None:
            object.__setattr__(self, "presence", self.severity)


@runtime_checkable
class Embedder(Protocol):
    """Images and texts to unit vectors in one space. Several threads may ask one at once.

    `embed_images` is `prepare` for each image, which any core can do, and `embed_prepared`.
    """

    identity: Identity
    width: int

    on_gpu: bool
    """The network leaves this machine's cores free."""

    @property
    def prepare(self) -> Callable[[Rgb], Any]:
        """What makes of one image what the network takes of it; it can be sent to processes."""
        ...

    def embed_prepared(self, prepared: Sequence[Any]) -> np.ndarray:
        """(n, width) float32, each row of length 1; the same vector whatever the batch."""
        ...

    def embed_images(self, images: Sequence[Rgb]) -> np.ndarray:
        """(n, width) float32, each row of length 1; the same vector whatever the batch."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(n, width) float32, each row of length 1."""
        ...


@runtime_checkable
class Judge(Protocol):
    """How strong a degradation is."""

    identity: Identity

    def judge(self, images: Sequence[Rgb], degradation: Degradation) -> list[Judgement]:
        """One judgement an image. A failure is a judgement without severity, not an exception."""
        ...


@runtime_checkable
class Restorer(Protocol):
    """Degraded image to clean image of the same size."""

    identity: Identity

    def supports(self, degradation: Degradation) -> bool:
        """Whether it does anything for this degradation."""
        ...

    def restore(self, images: Sequence[Rgb], degradation: Degradation) -> list[Rgb]:
        """Restored images, each of its input's size. Raises `UserError` when it cannot run."""
        ...


@runtime_checkable
class Consistency(Protocol):
    """How far a restored image moved from its input."""

    identity: Identity

    def distance(self, first: Rgb, second: Rgb) -> float:
        """0 (the same) .. 1 and more; both images of one size."""
        ...


@runtime_checkable
class Degrader(Protocol):
    """Clean image to degraded image of the same size: the synthesis of training pairs.

    It stands here, not in curation, since curation (offline), training (on the fly) and the
    training of the judge all use it and may not import one another.
    """

    identity: Identity
    degradation: Degradation

    def degrade(self, image: Rgb, severity: float, rng: np.random.Generator) -> Rgb:
        """`severity` 1 (extreme) .. 5 (barely visible); the same `rng` gives the same image."""
        ...
