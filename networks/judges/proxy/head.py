"""The ordinal heads: from measures to a severity and its probability."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from catalog.degradations import Degradation
from catalog.files import atomic_file
from networks.judges.proxy.kernel import Kernel, load_kernels
from networks.weights import read_pinned

VERSION = "v11"
PLACE = Path(__file__).with_name("proxy-judge-v11.json")
SHA256 = "2e275b075aa909e21b3d805918a06d7c39f069e05fd2afca64b93ae0b653e1c2"
"""Of the file at `PLACE`: other weights are another judge, so they are refused."""

MIDDLE = 3.0
"""Severity at which a kernel adds nothing to the score."""

HASHES = ("kernels", "network", "glass", "sight")
"""What the file of the heads names besides."""

KNOTS = 33
"""Quantiles by which a measure is spread evenly over -1 .. 1; constant beyond."""


@dataclass(frozen=True)
class Curve:
    """A falling line of straight pieces, 5 .. 1, constant beyond its ends."""

    places: np.ndarray
    """(points,) ascending"""
    values: np.ndarray
    """(points,) descending"""

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """(n,) to (n,)"""
        return np.interp(places, self.places, self.values)


class Answer(NamedTuple):
    """What a head says of an image."""

    severity: float
    """1 .. 5"""
    presence: float
    """1 .. 5 by the evidence alone, calibrated by how often clean photos reach it"""
    probability: float
    """That the degradation is there."""


@dataclass(frozen=True)
class Head:
    """One degradation: whether it is there, and how severe it is if it is.

    The evidence is sum_i w_i n_i(x_i) with the sign of each w_i fixed, so that more of a measure
    never says the opposite of what it means. P(present) = sigmoid(evidence - threshold)
    (cumulative link model, McCullagh 1980). The score is the logarithm of such a probability plus
    what `kernel` and the network say of the severity where it is there: evidence decides where
    there is little of it, they where there is enough. Presence and severity are evidence and score
    by way of monotone curves.
    """

    names: tuple[str, ...]
    knots: np.ndarray
    """(measures, KNOTS)"""
    weights: np.ndarray
    """(measures,), signed"""
    threshold: float
    """Evidence at which it is as likely there as not, in balanced training data."""
    presence: Curve
    """From evidence."""
    severity: Curve | None = None
    """From the score; None for a head without a kernel, whose severity is its presence."""
    kernel: Kernel | None = None
    share: float = 0.0
    """What a severity of the kernel counts in the score."""
    enough: float = 0.0
    """Evidence from which more of it counts little in the score."""
    listened: float = 0.0
    """0 .. 1: what the network counts beside the kernel in the severity within."""

    @cached_property
    def takes(self) -> frozenset[str]:
        """Names of the measures that `answer` wants."""
        return frozenset((*self.names, *(self.kernel.names if self.kernel else ())))

    def evidence(self, values: np.ndarray) -> np.ndarray:
        """(n, measures) raw measures to (n,): the more, the surer that the degradation is there."""
        return spread(values, self.knots) @ self.weights

    def answer(self, measures: Mapping[str, float], said: float) -> Answer:
        """What is to be said of an image with these measures, of which the network says `said`."""
        evidence = self.evidence(_row(measures, self.names))
        presence = severity = float(self.presence(evidence)[0])
        if self.kernel is not None and self.severity is not None:
            within = self.kernel.severity(_row(measures, self.kernel.names))
            within = self.blend(within, np.array([said]))
            severity = float(self.severity(self.score(evidence, within))[0])
        return Answer(severity, presence, float(1 / (1 + np.exp(self.threshold - evidence[0]))))

    def blend(self, kernel: np.ndarray, network: np.ndarray) -> np.ndarray:
        """(n,) severities by the kernel and by the network to the (n,) that count."""
        return (1 - self.listened) * kernel + self.listened * network

    def score(self, evidence: np.ndarray, within: np.ndarray) -> np.ndarray:
        """(n,) evidence and (n,) severities within to (n,) scores."""
        return -np.logaddexp(0, self.enough - evidence) + self.share * (MIDDLE - within)


def _row(measures: Mapping[str, float], names: tuple[str, ...]) -> np.ndarray:
    return np.array([[measures[name] for name in names]])


def spread(values: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """(n, measures) to the same in -1 .. 1 by the quantiles `knots`."""
    places = np.linspace(-1, 1, KNOTS)
    columns = [np.interp(values[:, i], knots[i], places) for i in range(values.shape[1])]
    return np.stack(columns, axis=1)


def write_heads(heads: Mapping[Degradation, Head], hashes: Mapping[str, str], place: Path) -> str:
    """Write the heads as JSON, rounded; return the SHA-256 of the file.

    `hashes` are the SHA-256 of the files of their "kernels", "" where there is none, and of what
    else `HASHES` names, which are thereby part of the judge's identity.
    """

    def plain(values: np.ndarray) -> list:
        return [plain(v) if np.ndim(v) else float(f"{v:.6g}") for v in values]

    parts = {
        degradation.value: {
            "names": list(head.names),
            "knots": plain(head.knots),
            "weights": plain(head.weights),
            "threshold": float(f"{head.threshold:.6g}"),
            "presence": [plain(head.presence.places), plain(head.presence.values)],
            "severity": [plain(c.places), plain(c.values)] if (c := head.severity) else None,
            "share": float(f"{head.share:.6g}"),
            "enough": float(f"{head.enough:.6g}"),
            "listened": float(f"{head.listened:.6g}"),
        }
        for degradation, head in heads.items()
    }
    content = {name: hashes[name] for name in HASHES} | {"heads": parts}
    data = (json.dumps(content, separators=(",", ":")) + "\n").encode()
    with atomic_file(place) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


@lru_cache(maxsize=4)
def load_heads(place: Path = PLACE, sha256: str = SHA256) -> dict[Degradation, Head]:
    """Read the heads and check the hashes. Raises `UserError` when one is another one."""
    return parse(read_pinned(place, sha256, "the judge"))


def hashes() -> dict[str, str]:
    """The SHA-256 of the files beside the heads, by `HASHES`.

    Raises `UserError` when the heads are other ones.
    """
    content = json.loads(read_pinned(PLACE, SHA256, "the judge"))
    return {name: content[name] for name in HASHES}


def parse(data: bytes) -> dict[Degradation, Head]:
    """What `write_heads` wrote, with the kernels that it names by their hash."""
    content = json.loads(data)
    kernels = load_kernels(sha256=content["kernels"]) if content["kernels"] else {}
    return {
        Degradation(name): Head(
            tuple(part["names"]),
            np.array(part["knots"]),
            np.array(part["weights"]),
            part["threshold"],
            Curve(*np.array(part["presence"])),
            Curve(*np.array(part["severity"])) if part["severity"] else None,
            kernels.get(Degradation(name)),
            part["share"],
            part["enough"],
            part["listened"],
        )
        for name, part in content["heads"].items()
    }
