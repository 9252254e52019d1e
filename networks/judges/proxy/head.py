"""The ordinal heads: from measures to a severity and its probability."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from catalog.degradations import Degradation
from catalog.errors import UserError

VERSION = "v1"
PLACE = Path(__file__).with_name("proxy-judge-v1.json")
SHA256 = "6a07c7282215b8ff1e5413917753a35b80f75645e8ccb659310987dda194d9fd"
"""Of the file at `PLACE`: other weights are another judge, so they are refused."""

KNOTS = 33
"""Quantiles by which a measure is spread evenly over -1 .. 1; constant beyond."""


@dataclass(frozen=True)
class Head:
    """One degradation: a signed sum of spread measures, through an ordinal link.

    The score is sum_i w_i n_i(x_i) with the sign of each w_i fixed, so that more of a measure
    never says the opposite of what it means. P(present) = sigmoid(score - threshold) (cumulative
    link model, McCullagh 1980); the severity is the score by way of a monotone curve.
    """

    names: tuple[str, ...]
    knots: np.ndarray
    """(measures, KNOTS)"""
    weights: np.ndarray
    """(measures,), signed"""
    threshold: float
    """Score at which the degradation is as likely there as not, in balanced training data."""
    scores: np.ndarray
    """(points,) ascending"""
    severities: np.ndarray
    """(points,) descending, 5 .. 1"""

    def score(self, values: np.ndarray) -> np.ndarray:
        """(n, measures) raw measures to (n,) scores."""
        return spread(values, self.knots) @ self.weights

    def answer(self, measures: Mapping[str, float]) -> tuple[float, float]:
        """Severity 1 .. 5 and the probability that the degradation is there."""
        score = float(self.score(np.array([[measures[name] for name in self.names]]))[0])
        severity = float(np.interp(score, self.scores, self.severities))
        return severity, float(1 / (1 + np.exp(self.threshold - score)))


def spread(values: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """(n, measures) to the same in -1 .. 1 by the quantiles `knots`."""
    places = np.linspace(-1, 1, KNOTS)
    columns = [np.interp(values[:, i], knots[i], places) for i in range(values.shape[1])]
    return np.stack(columns, axis=1)


def write_heads(heads: Mapping[Degradation, Head], place: Path) -> str:
    """Write the heads as JSON, rounded; return the SHA-256 of the file."""

    def plain(values: np.ndarray) -> list:
        return [plain(v) if np.ndim(v) else float(f"{v:.6g}") for v in values]

    content = {
        degradation.value: {
            "names": list(head.names),
            "knots": plain(head.knots),
            "weights": plain(head.weights),
            "threshold": float(f"{head.threshold:.6g}"),
            "scores": plain(head.scores),
            "severities": plain(head.severities),
        }
        for degradation, head in heads.items()
    }
    data = (json.dumps(content, separators=(",", ":")) + "\n").encode()
    place.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


@lru_cache(maxsize=4)
def load_heads(place: Path = PLACE, sha256: str = SHA256) -> dict[Degradation, Head]:
    """Read the heads and check their hash. Raises `UserError` when it is another one."""
    try:
        data = place.read_bytes()
    except OSError as error:
        raise UserError(
            f"The judge's weights {place} cannot be read: {error}.", "Install Mendline again."
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise UserError(
            f"The judge's weights {place} have the SHA-256 {found[:12]}..., not {sha256[:12]}...",
            "Install Mendline again, or `git checkout` the file: scores by other weights cannot "
            "be compared.",
        )
    return {
        Degradation(name): Head(
            tuple(part["names"]),
            np.array(part["knots"]),
            np.array(part["weights"]),
            part["threshold"],
            np.array(part["scores"]),
            np.array(part["severities"]),
        )
        for name, part in json.loads(data).items()
    }
