"""Errors that a user can cause and can mend."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_NOT_OURS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EISDIR}
"""What the system refuses because of the place it was given, not because of a fault of ours."""


class UserError(Exception):
    """A fault in what the user gave: input, settings, environment.

    The command line prints it without a traceback and exits with status 1. `what` says what is
    wrong and where, `remedy` what to do about it.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} {remedy}")
        self.what = what
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["UserError"], tuple[str, str]]:
        # The default would call the constructor with the joined message alone, which breaks
        # errors that cross a process pool.
        return (type(self), (self.what, self.remedy))


class ImageRefused(UserError):
    """Bytes that are not an image we accept; `reason` is a short slug for the counts."""

    def __init__(self, reason: str, what: str, remedy: str = "The image is left out.") -> None:
        super().__init__(what, remedy)
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageRefused"], tuple[str, str, str]]:  # type: ignore[override]
        return (type(self), (self.reason, self.what, self.remedy))


def refused_by_system(error: OSError) -> UserError | None:
    """What the system refuses of a place, in words; None where the fault may be ours."""
    if error.filename is None or error.errno not in _NOT_OURS:
        return None
    return UserError(
        f"{error.filename}: {error.strerror}.",
        "Mend that, or name another place, and run the same command again.",
    )


@contextmanager
def said_plainly(name: str = "") -> Iterator[None]:
    """Around what a command does: errors that a user can mend end it in two sentences and status 1.

    Those are `UserError` and what the system refuses of a place. `name` is put before the words.
    """
    try:
        yield
        return
    except UserError as error:
        said = error
    except OSError as error:
        refused = refused_by_system(error)
        if refused is None:
            raise
        said = refused
    before = f"{name}: " if name else ""
    sys.stderr.write(f"{before}{said.what}\n{said.remedy}\n")
    sys.exit(1)
