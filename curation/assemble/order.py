"""A random order that depends on the seed and the names alone."""

import hashlib
from collections.abc import Iterable


def shuffled(names: Iterable[str], seed: int, purpose: str) -> list[str]:
    """`names` in the order of their hashes: adding a name does not move the others."""
    return sorted(
        set(names),
        key=lambda name: hashlib.sha256(f"{seed}\n{purpose}\n{name}".encode()).digest(),
    )
