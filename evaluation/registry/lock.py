"""The lock around read-compare-set of the champion.

MLflow sets aliases unconditionally, so whoever moves one holds this lock: a file between the
processes of one machine, in whatever work trees, a Postgres advisory lock between machines.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from catalog.errors import UserError
from catalog.files import disk_errors
from evaluation.registry.store import Registry, public, without_passwords

WAIT = 120.0
"""Seconds to wait for the lock."""
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@contextmanager
def locked(registry: Registry, wait: float = WAIT) -> Iterator[None]:
    """Hold the lock of `registry`'s model. Raises `UserError` after `wait` seconds.

    With a Postgres store (or MENDLINE_LOCK_URL naming one) the lock holds between machines. Any
    other store that is not on this machine is refused without it: a lock that only this machine
    sees would not hold.
    """
    given = os.environ.get("MENDLINE_LOCK_URL")
    if given and not _is_postgres(given):
        raise UserError(
            f"MENDLINE_LOCK_URL is {public(given)}, which is no Postgres database.",
            "Name one (postgresql://...): its advisory locks hold between machines.",
        )
    database = given or registry.uri
    if not _is_postgres(database) and not _is_here(database):
        raise UserError(
            f"The registry {public(database)} is on another machine and no lock is known that "
            "holds there.",
            "Set MENDLINE_LOCK_URL to a Postgres database (postgresql://...) that all reach.",
        )
    between = _advisory(database, registry.name, wait) if _is_postgres(database) else nullcontext()
    file = _file(registry)
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(file, timeout=wait), between:
            yield
    except Timeout as error:
        raise UserError(
            f"Another promotion has held the lock {error.lock_file} for {wait:.0f} s.",
            "Wait for it to end, then run the same command again.",
        ) from error


def _is_postgres(uri: str) -> bool:
    return uri.startswith(("postgresql", "postgres:"))


def _is_here(uri: str) -> bool:
    if uri.startswith("http"):
        return urlsplit(uri).hostname in _LOOPBACK
    return uri.startswith(("sqlite:", "file:", "/", "."))


def _file(registry: Registry) -> Path:
    """The lock's file, one a store: work trees may share a database or a local server."""
    if registry.uri.startswith("sqlite:"):
        import sqlalchemy.engine

        database = sqlalchemy.engine.make_url(registry.uri).database
        if database:
            return Path(database).resolve().parent / f"{registry.name}.lock"
    if registry.uri.startswith("http") and _is_here(registry.uri):
        place = urlsplit(registry.uri)
        # Its names differ (localhost, 127.0.0.1), the port does not.
        key = hashlib.sha256(f"{place.port} {place.path.strip('/')}".encode()).hexdigest()[:16]
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "mendline" / f"{registry.name}-{key}.lock"
    return registry.layout.mlflow_database.parent / f"{registry.name}.lock"


def _connected(engine: Any, uri: str) -> Any:
    import sqlalchemy

    try:
        return engine.connect()
    except sqlalchemy.exc.OperationalError as error:
        raise UserError(
            f"The database of the lock, {public(uri)}, does not answer: "
            f"{without_passwords(str(error.orig)).splitlines()[0][:300]}",
            "Bring it back, or correct MENDLINE_LOCK_URL; then run the same command again.",
        ) from error


@contextmanager
def _advisory(uri: str, name: str, wait: float) -> Iterator[None]:
    import sqlalchemy
    from sqlalchemy.pool import NullPool

    # A session-level lock: it goes with its connection, so a killed promoter cannot keep it.
    engine = sqlalchemy.create_engine(uri, poolclass=NullPool)
    key = {"key": f"mendline:{name}"}
    try:
        with _connected(engine, uri) as connection:
            milliseconds = int(wait * 1000)
            connection.execute(sqlalchemy.text(f"SET lock_timeout = {milliseconds}"))
            connection.execute(
                sqlalchemy.text("SELECT pg_advisory_lock(hashtextextended(:key, 0))"), key
            )
            try:
                yield
            finally:
                connection.execute(
                    sqlalchemy.text("SELECT pg_advisory_unlock(hashtextextended(:key, 0))"), key
                )
    except sqlalchemy.exc.OperationalError as error:
        if "lock timeout" in str(error):
            raise UserError(
                f"Another promotion has held the lock on {public(uri)} for {wait:.0f} s.",
                "Wait for it to end, then run the same command again.",
            ) from error
        raise
    finally:
        engine.dispose()
