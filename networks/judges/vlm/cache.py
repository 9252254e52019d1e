"""Answers on disk, so that no image is asked about twice."""

import hashlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from catalog.degradations import Degradation
from catalog.errors import UserError
from networks.interfaces import Identity


def default_place() -> Path:
    """MENDLINE_JUDGE_CACHE, else answers.sqlite below the user's cache folder."""
    given = os.environ.get("MENDLINE_JUDGE_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else home / "mendline/judge/answers.sqlite"


class AnswerCache:
    """Answers by pixels, degradation, and the judge's identity (which holds the prompt's hash).

    One SQLite file; several processes may use it at once. Only answers that could be read are
    kept: a failure is asked again.
    """

    def __init__(self, place: Path) -> None:
        """Raises `UserError` where the file cannot be made, or is another one."""
        self.place = place
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as database, database:
                database.execute("PRAGMA journal_mode=WAL")
                database.execute(
                    "CREATE TABLE IF NOT EXISTS answers "
                    "(key TEXT PRIMARY KEY, severity INTEGER NOT NULL, text TEXT NOT NULL)"
                )
        except (OSError, sqlite3.Error) as error:
            raise UserError(
                f"The judge's answers cannot be kept in {place}: {error}.",
                "Remove the file, or name another one in MENDLINE_JUDGE_CACHE.",
            ) from error

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.place, timeout=60)

    @staticmethod
    def key(pixels: str, degradation: Degradation, identity: Identity) -> str:
        """SHA-256 over what `pixel_digest` says of an image, the degradation and the identity."""
        return hashlib.sha256(f"{pixels}\n{degradation}\n{identity.digest}".encode()).hexdigest()

    def get(self, key: str) -> int | None:
        """The severity, or None when it was not asked yet."""
        with closing(self._open()) as database:
            row = database.execute("SELECT severity FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else int(row[0])

    def put(self, key: str, severity: int, text: str) -> None:
        """Keep an answer; half a surrogate pair, which SQLite refuses, is written as `?`."""
        plain = text[:200].encode(errors="replace").decode()
        with closing(self._open()) as database, database:
            database.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, severity, plain)
            )
