"""Decisions of reviewers in SQLite: durable when `decide` returns."""

import sqlite3
import threading
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

DECISIONS = ("accept", "reject", "unsure")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS decisions (
    number INTEGER PRIMARY KEY,
    pair_id TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    decision TEXT NOT NULL CHECK (decision IN ('accept', 'reject', 'unsure')),
    reason TEXT,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    UNIQUE (pair_id, reviewer)
)
"""


@dataclass(frozen=True)
class Decision:
    """What one reviewer said of one pair."""

    pair_id: str
    reviewer: str
    decision: str
    reason: str | None = None


class Decisions:
    """One row a pair and reviewer; a later decision replaces the earlier one.

    Safe for several threads. Every change is synced to disk before the call returns.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=FULL")
        self._base.execute("PRAGMA busy_timeout=10000")
        self._base.execute(_SCHEMA)

    def decide(self, decision: Decision) -> None:
        """Enter or replace a decision."""
        with self._lock:
            self._base.execute(
                "INSERT OR REPLACE INTO decisions (pair_id, reviewer, decision, reason) "
                "VALUES (?, ?, ?, ?)",
                (decision.pair_id, decision.reviewer, decision.decision, decision.reason),
            )

    def undo(self, reviewer: str, among: Container[str]) -> str | None:
        """Take back the reviewer's last decision on one of the pairs `among`.

        Returns its pair id, None if there is none.
        """
        with self._lock:
            rows = self._base.execute(
                "SELECT number, pair_id FROM decisions WHERE reviewer = ? ORDER BY number DESC",
                (reviewer,),
            )
            last = next((row for row in rows if row[1] in among), None)
            rows.close()
            if last is None:
                return None
            self._base.execute("DELETE FROM decisions WHERE number = ?", last[:1])
        return str(last[1])

    def all(self) -> list[Decision]:
        """All decisions, oldest first."""
        with self._lock:
            rows = self._base.execute(
                "SELECT pair_id, reviewer, decision, reason FROM decisions ORDER BY number"
            ).fetchall()
        return [Decision(*row) for row in rows]

    def close(self) -> None:
        """Close the file."""
        self._base.close()


def by_pair(decisions: list[Decision]) -> Mapping[str, dict[str, Decision]]:
    """Pair id -> reviewer -> decision."""
    found: dict[str, dict[str, Decision]] = {}
    for one in decisions:
        found.setdefault(one.pair_id, {})[one.reviewer] = one
    return found
