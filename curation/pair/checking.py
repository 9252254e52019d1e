"""Measures one real pair."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.pairs import Pair
from catalog.shards import ShardStore
from curation.pair import alignment, colour, warps
from curation.pair.measures import Instruments
from curation.units import Made
from networks.changes.detector import load_detector


@dataclass(frozen=True)
class Candidate:
    """A degraded image and one teacher's target of it."""

    degraded_id: str
    clean_id: str
    degradation: Degradation


class Checker:
    """Measures of a pair; the verdict is taken afterwards, so thresholds cost no measuring."""

    def __init__(self, raw: Path, targets: Path, settings: Pair) -> None:
        self.raw, self.targets = raw, targets
        self.instruments = Instruments(settings)

    @cached_property
    def _store(self) -> ShardStore:
        return ShardStore(self.targets, self.raw)

    def __getstate__(self) -> dict[str, Any]:
        # Open files stay in the process that opened them.
        return {name: self.__dict__[name] for name in ("raw", "targets", "instruments")}

    def key(self, unit: Candidate) -> str:
        """Over the pair and all that measures it."""
        parts = [
            unit.degraded_id,
            unit.clean_id,
            unit.degradation,
            alignment.VERSION,
            warps.VERSION,
            colour.VERSION,
            load_detector().identity.digest,
        ]
        parts += self.instruments.digests
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def clean(self, unit: Candidate) -> Rgb:
        """The target's pixels."""
        return self._store.get(unit.clean_id).decode()

    def make(self, unit: Candidate) -> Made:
        """One row with the fields of `Measures`."""
        degraded = self._store.get(unit.degraded_id).decode()
        clean = self.clean(unit)
        found = self.instruments.measure(degraded, clean, unit.degradation)
        row = {
            "severity_degraded": found.severity_degraded,
            "severity_clean": found.severity_clean,
            "consistency": found.consistency,
            "shift": found.shift,
            "scores": dict(found.scores),
        }
        return Made((), (row,))


def is_judged(made: Made) -> bool:
    """Whether the judge answered for both sides of all: one that was away is asked again later."""
    sides = ("severity_degraded", "severity_clean")
    return all(row[side] is not None for row in made.rows for side in sides)
