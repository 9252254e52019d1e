"""The lock around read-compare-set of the champion.

MLflow sets aliases unconditionally, so whoever moves one holds this lock: a file between the
processes of one machine, a Postgres advisory lock between machines.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from catalog.errors import UserError
from evaluation.registry.store import Registry, public

WAIT = 120.0
"""Seconds to wait for the lock."""
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@contextmanager
def locked(registry: Registry, wait: float = WAIT) -> Iterator[None]:
    """Hold the lock of `registry`'s model. Raises `UserError` after `wait` seconds.

    With a Postgres store (or MENDLINE_LOCK_URL naming one) the lock holds between machines. A
    remote MLflow server without it is refused: a lock that only this machine sees would not hold.
    """
    database = os.environ.get("MENDLINE_LOCK_URL") or registry.uri
    folder = registry.layout.mlflow_database.parent
    folder.mkdir(parents=True, exist_ok=True)
    if database.startswith("http") and urlsplit(database).hostname not in _LOOPBACK:
        raise UserError(
            f"The registry {public(database)} is on another machine and no lock is known that "
            "holds there.",
            "Set MENDLINE_LOCK_URL to its Postgres database (postgresql://...).",
        )
    between = _advisory(database, registry.name, wait) if _is_postgres(database) else nullcontext()
    try:
        with FileLock(folder / f"{registry.name}.lock", timeout=wait), between:
            yield
    except Timeout as error:
        raise UserError(
            f"Another promotion has held the lock {error.lock_file} for {wait:.0f} s.",
            "Wait for it to end, then run the same command again.",
        ) from error


def _is_postgres(uri: str) -> bool:
    return uri.startswith(("postgresql", "postgres:"))


@contextmanager
def _advisory(uri: str, name: str, wait: float) -> Iterator[None]:
    import sqlalchemy
    from sqlalchemy.pool import NullPool

    # A session-level lock: it goes with its connection, so a killed promoter cannot keep it.
    engine = sqlalchemy.create_engine(uri, poolclass=NullPool)
    key = {"key": f"mendline:{name}"}
    try:
        with engine.connect() as connection:
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
