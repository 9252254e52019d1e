"""One process at a time in a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from catalog.errors import UserError


@contextmanager
def alone(folder: Path, refusal: str, wait: float = 0.0) -> Iterator[None]:
    """Hold `folder`, which is made where it is not there.

    The lock is the kernel's, so a killed holder leaves none behind. Raises `UserError`, whose first
    sentence is `refusal`, where another process or thread holds it for `wait` seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        raise UserError(
            refusal, "Wait for its end, or stop it; the same command then goes on where it was."
        ) from None
    try:
        yield
    finally:
        lock.release()
