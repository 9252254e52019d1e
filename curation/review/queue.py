"""Which pair a reviewer sees next: what screening was least sure of, first."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalog.settings.pairs import Pair
from curation.review.decisions import Decision


@dataclass(frozen=True)
class Filter:
    """What the reviewer asked for; None for all."""

    degradation: str | None = None
    teacher: str | None = None
    verdict: str | None = None


def doubt(pair: Mapping[str, Any], settings: Pair) -> float:
    """How near a pair is to a limit of the screening: 0 far away .. 1 on it."""
    margins = []
    task = pair["degradation"]
    if pair["severity_degraded"] is not None and pair["severity_clean"] is not None:
        least = settings.min_difference.get(task, settings.min_difference["default"])
        margins.append(abs(pair["severity_clean"] - pair["severity_degraded"] - least))
    if pair["consistency"] is not None:
        most = settings.max_distance.get(task, settings.max_distance["default"])
        margins.append(abs(pair["consistency"] - most) / most)
    if pair["shift"] is not None and settings.max_shift > 0:
        margins.append(abs(pair["shift"] - settings.max_shift) / settings.max_shift)
    return float(1 / (1 + min(margins))) if margins else 1.0


class Queue:
    """Pairs by doubt; a share of them goes to every reviewer, the others to one each."""

    def __init__(self, pairs: Sequence[dict[str, Any]], settings: Pair, share: float) -> None:
        self.pairs = {pair["pair_id"]: pair for pair in pairs}
        self.order = sorted(self.pairs, key=lambda key: (-doubt(self.pairs[key], settings), key))
        self.shared = {key for key in self.order if _fraction(key) < share}
        self._claimed: dict[str, str] = {}

    def upcoming(
        self,
        reviewer: str,
        decided: Mapping[str, Mapping[str, Decision]],
        wanted: Filter,
        count: int,
    ) -> list[dict[str, Any]]:
        """The next pairs for this reviewer. Those not shared become theirs."""
        found: list[dict[str, Any]] = []
        for key in self.order:
            if len(found) >= count:
                break
            pair, said = self.pairs[key], decided.get(key, {})
            if reviewer in said or not _matches(pair, wanted):
                continue
            if key not in self.shared:
                if said or self._claimed.get(key, reviewer) != reviewer:
                    continue
                self._claimed[key] = reviewer
            found.append(pair)
        return found


def _matches(pair: Mapping[str, Any], wanted: Filter) -> bool:
    return all(
        asked is None or pair[name] == asked
        for name, asked in (
            ("degradation", wanted.degradation),
            ("teacher", wanted.teacher),
            ("verdict", wanted.verdict),
        )
    )


def _fraction(key: str) -> float:
    digest = hashlib.sha256(f"shared\n{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
