"""Weights that ship in packages: read only when they are those that the code was made with."""

import hashlib
from importlib.util import find_spec
from pathlib import Path

from catalog.errors import UserError


def folder_of(package: str) -> Path:
    """Where an installed package lies, without importing it.

    Of one that is missing its name: `read_pinned` then says that nothing can be read there.
    """
    found = find_spec(package)
    return Path(found.origin).parent if found and found.origin else Path(package)


def read_pinned(place: Path, sha256: str, whose: str) -> bytes:
    """The bytes of the file at `place`, whose SHA-256 is `sha256`.

    Raises `UserError`, which names `whose` weights they are, when the file cannot be read or is
    another one.
    """
    try:
        data = place.read_bytes()
    except OSError as error:
        raise UserError(
            f"The weights of {whose}, {place}, cannot be read: {error}.", "Install Mendline again."
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise UserError(
            f"The weights of {whose}, {place}, have the SHA-256 {found[:12]}..., not "
            f"{sha256[:12]}...",
            "Install Mendline again, or `git checkout` the file: what other weights say cannot be "
            "compared.",
        )
    return data
