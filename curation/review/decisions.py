"""Decisions of reviewers in SQLite: durable when `decide` returns.

The table is a log: a row a decision, a changed one below the earlier. What a reviewer says of a
pair is the last row; undo takes the reviewer's last row away, and what stood before stands again.
"""

import sqlite3
import threading
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

DECISIONS = ("accept", "reject", "unsure")

_SCHEMA = """
CREATE TABLE {name} (
    number INTEGER PRIMARY KEY,
    pair_id TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    decision TEXT NOT NULL CHECK (decision IN ('accept', 'reject', 'unsure')),
    reason TEXT,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
)
"""


@dataclass(frozen=True)
class Decision:
    """What one reviewer said of one pair."""

    pair_id: str
    reviewer: str
    decision: str
    reason: str | None = None


@dataclass(frozen=True)
class Undone:
    """A pair whose last decision of a reviewer was taken back, and what they say of it now."""

    pair_id: str
    standing: Decision | None


class Decisions:
    """The log of one work tree.

    Safe for several threads. Every change is synced to disk before the call returns.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=FULL")
        self._base.execute("PRAGMA busy_timeout=10000")
        with self._base:
            self._base.execute("BEGIN IMMEDIATE")
            self._make()

    def _make(self) -> None:
        """Make the table, or make it a log where an earlier version kept the last rows only."""
        found = self._base.execute("SELECT sql FROM sqlite_master WHERE name = 'decisions'")
        made = found.fetchone()
        if made is None:
            self._base.execute(_SCHEMA.format(name="decisions"))
        elif "UNIQUE" in made[0]:
            self._base.execute(_SCHEMA.format(name="log"))
            self._base.execute("INSERT INTO log SELECT * FROM decisions")
            self._base.execute("DROP TABLE decisions")
            self._base.execute("ALTER TABLE log RENAME TO decisions")

    def decide(self, decision: Decision) -> None:
        """Enter a decision.

        The same as the reviewer's last one is not entered again: its answer was lost, and one undo
        must take it back.
        """
        row = (decision.pair_id, decision.reviewer, decision.decision, decision.reason)
        with self._lock:
            last = self._base.execute(
                "SELECT pair_id, reviewer, decision, reason FROM decisions WHERE reviewer = ? "
                "ORDER BY number DESC LIMIT 1",
                (decision.reviewer,),
            ).fetchone()
            if last != row:
                self._base.execute(
                    "INSERT INTO decisions (pair_id, reviewer, decision, reason) "
                    "VALUES (?, ?, ?, ?)",
                    row,
                )

    def undo(self, reviewer: str, among: Container[str]) -> Undone | None:
        """Take back the reviewer's last decision on one of the pairs `among`; None without one."""
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
            before = self._base.execute(
                "SELECT pair_id, reviewer, decision, reason FROM decisions "
                "WHERE pair_id = ? AND reviewer = ? ORDER BY number DESC LIMIT 1",
                (last[1], reviewer),
            ).fetchone()
        return Undone(last[1], Decision(*before) if before else None)

    def all(self) -> list[Decision]:
        """The decisions that stand, one a pair and reviewer, oldest first."""
        with self._lock:
            rows = self._base.execute(
                "SELECT pair_id, reviewer, decision, reason FROM decisions WHERE number IN "
                "(SELECT max(number) FROM decisions GROUP BY pair_id, reviewer) ORDER BY number"
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
