"""Answers on disk, so that no image is asked about twice."""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from catalog.degradations import Degradation
from catalog.errors import UserError
from networks.interfaces import Identity

SEVERITIES = range(1, 6)


def default_place() -> Path:
    """MENDLINE_JUDGE_CACHE, else answers.sqlite below the user's cache folder."""
    given = os.environ.get("MENDLINE_JUDGE_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else home / "mendline/judge/answers.sqlite"


class AnswerCache:
    """Answers by pixels, degradation, and the judge's identity (which holds the prompt's hash).

    One SQLite file; several processes may use it at once. Only answers that could be read are
    kept: a failure is asked again.

    All methods raise `UserError` where the file cannot be made, read or written, or is another one.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        with self._opened() as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute(
                "CREATE TABLE IF NOT EXISTS answers "
                "(key TEXT PRIMARY KEY, severity INTEGER NOT NULL, text TEXT NOT NULL)"
            )

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            self.place.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.place, timeout=60)) as database, database:
                yield database
        except (OSError, sqlite3.Error) as error:
            raise UserError(
                f"The judge's answers cannot be kept in {self.place}: {error}.",
                "Make room if the disk is full; else remove the file, or name another one in "
                "MENDLINE_JUDGE_CACHE.",
            ) from error

    @staticmethod
    def key(pixels: str, degradation: Degradation, identity: Identity) -> str:
        """SHA-256 over what `pixel_digest` says of an image, the degradation and the identity."""
        return hashlib.sha256(f"{pixels}\n{degradation}\n{identity.digest}".encode()).hexdigest()

    def get(self, key: str) -> int | None:
        """The severity 1..5, or None when it was not asked yet; another value is no answer."""
        with self._opened() as database:
            row = database.execute("SELECT severity FROM answers WHERE key = ?", (key,)).fetchone()
        return row[0] if row and row[0] in SEVERITIES else None

    def put(self, key: str, severity: int, text: str) -> None:
        """Keep an answer; half a surrogate pair, which SQLite refuses, is written as `?`."""
        plain = text[:200].encode(errors="replace").decode()
        with self._opened() as database:
            database.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, severity, plain)
            )
