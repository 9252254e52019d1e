"""Which pair a reviewer sees next: what screening was least sure of, first."""

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalog.settings.pairs import Pair
from curation.review.decisions import Decision

_CLAIM_S = 900.0


@dataclass(frozen=True)
class Filter:
    """What the reviewer asked for; None for all."""

    degradation: str | None = None
    teacher: str | None = None
    verdict: str | None = None
    least: float | None = None
    """Least difference of the two sides' severities."""
    most: float | None = None

    def matches(self, pair: Mapping[str, Any]) -> bool:
        """Whether the reviewer wants to see this pair."""
        if any(
            asked is not None and pair[name] != asked
            for name, asked in (
                ("degradation", self.degradation),
                ("teacher", self.teacher),
                ("verdict", self.verdict),
            )
        ):
            return False
        gained = _gained(pair)
        if gained is None:
            return self.least is None and self.most is None
        return (self.least is None or gained >= self.least) and (
            self.most is None or gained <= self.most
        )


def doubt(pair: Mapping[str, Any], settings: Pair) -> float:
    """How unsure screening was: 1 on a limit, towards 0 far from all of them.

    A pair that passes is as sure as its closest limit, one that fails as the limit it fails most.
    """
    slacks = _slacks(pair, settings)
    return float(1 / (1 + abs(min(slacks)))) if slacks else 1.0


def _slacks(pair: Mapping[str, Any], settings: Pair) -> list[float]:
    """By how much each limit is kept (negative: missed), in units of what is a clear difference."""
    task, scores = pair["degradation"], dict(pair.get("scores") or {})

    def limit(given: Mapping[str, float]) -> float:
        return given.get(task, given["default"])

    found: list[float] = []
    gained = _gained(pair)
    if gained is not None:
        found.append(gained - limit(settings.min_difference))
        found.append(pair["severity_clean"] - settings.min_clean_severity)
    if pair["consistency"] is not None:
        found.append((limit(settings.max_distance) - pair["consistency"]) / 0.1)
    if "move-relative" in scores and settings.max_shift > 0:
        found.append((settings.max_shift - scores["move-relative"]) / settings.max_shift)
    if "move-warp" in scores:
        found.append((limit(settings.max_warp) - scores["move-warp"]) / 0.1)
    if "content-changed" in scores:
        odds = [
            _log_odds(value) for value in (limit(settings.max_changed), scores["content-changed"])
        ]
        found.append(odds[0] - odds[1])
    return found


def _log_odds(probability: float) -> float:
    kept = min(max(probability, 1e-4), 1 - 1e-4)
    return math.log(kept / (1 - kept))


def _gained(pair: Mapping[str, Any]) -> float | None:
    if pair["severity_degraded"] is None or pair["severity_clean"] is None:
        return None
    return float(pair["severity_clean"]) - float(pair["severity_degraded"])


class Queue:
    """Pairs by doubt; a share of them goes to every reviewer, the others to one each.

    What a reviewer was shown and did not decide is free again `_CLAIM_S` seconds after they last
    asked: whoever closes the page takes no pair with them. `clock` tells the seconds.
    """

    def __init__(
        self,
        pairs: Sequence[dict[str, Any]],
        settings: Pair,
        share: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pairs = {pair["pair_id"]: pair for pair in pairs}
        self.order = sorted(self.pairs, key=lambda key: (-doubt(self.pairs[key], settings), key))
        self.shared = {key for key in self.order if _fraction(key) < share}
        self._claimed: dict[str, str] = {}
        self._clock = clock
        self._asked: dict[str, float] = {}

    def upcoming(
        self,
        reviewer: str,
        decided: Mapping[str, Mapping[str, Decision]],
        wanted: Filter,
        count: int,
    ) -> list[dict[str, Any]]:
        """The next pairs for this reviewer. Those not shared become theirs."""
        found: list[dict[str, Any]] = []
        now = self._clock()
        self._asked[reviewer] = now
        for key in self.order:
            if len(found) >= count:
                break
            pair, said = self.pairs[key], decided.get(key, {})
            if reviewer in said or not wanted.matches(pair):
                continue
            if key not in self.shared:
                owner = self._claimed.get(key, reviewer)
                if said or (owner != reviewer and now - self._asked[owner] < _CLAIM_S):
                    continue
                self._claimed[key] = reviewer
            found.append(pair)
        return found


def _fraction(key: str) -> float:
    digest = hashlib.sha256(f"shared\n{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
