"""SHA-256 of files; those of large files are remembered, so that a model is hashed once.

Remembered by path, inode, size and both times of the file (of its content and of its entry, which
no copy can set): any rewriting moves one of them. What was changed within the last seconds is not
remembered, since a file system's clock may be too coarse to tell the next change.
"""

import hashlib
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

LARGE = 64 * 2**20
"""Bytes from which on a digest outlives the process; smaller files take less time than a look."""
_SETTLED_NS = 2_000_000_000

_known: dict[str, str] = {}


def default_place() -> Path:
    """MENDLINE_DIGESTS, else digests.sqlite below the user's cache folder."""
    given = os.environ.get("MENDLINE_DIGESTS")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else home / "mendline/digests.sqlite"


def read_digest(path: Path) -> str:
    """SHA-256 of the bytes of `path`, in hexadecimal, read now and not remembered.

    Raises `OSError`.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digest(path: Path, anew: bool = False) -> str:
    """SHA-256 of the bytes of `path`, in hexadecimal. Raises `OSError`.

    `anew`: read it even where it is remembered, as a check of what a machine was given must.
    """
    state = path.stat()
    parts = (path.resolve(), state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    key = "\n".join(map(str, parts))
    if not anew and (found := _known.get(key) or _kept(key, state.st_size)):
        _known[key] = found
        return found
    began = time.time_ns()
    digest = read_digest(path)
    changed = max(path.stat().st_mtime_ns, path.stat().st_ctime_ns)
    same = changed == max(state.st_mtime_ns, state.st_ctime_ns)
    if same and began - changed > _SETTLED_NS:
        _known[key] = digest
        _keep(key, digest, state.st_size)
    return digest


def _open() -> sqlite3.Connection:
    place = default_place()
    place.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(place, timeout=10)
    database.execute("CREATE TABLE IF NOT EXISTS digests (key TEXT PRIMARY KEY, sha256 TEXT)")
    return database


def _kept(key: str, size: int) -> str | None:
    if size < LARGE:
        return None
    try:
        with closing(_open()) as database:
            row = database.execute("SELECT sha256 FROM digests WHERE key = ?", (key,)).fetchone()
    except (OSError, sqlite3.Error):  # no home, or a read-only one: hashed again, no more
        return None
    return None if row is None else str(row[0])


def _keep(key: str, digest: str, size: int) -> None:
    if size < LARGE:
        return
    try:
        with closing(_open()) as database, database:
            database.execute("INSERT OR REPLACE INTO digests VALUES (?, ?)", (key, digest))
    except (OSError, sqlite3.Error):
        pass
