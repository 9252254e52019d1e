"""A random order that depends on the seed and the names alone."""

import hashlib
from collections.abc import Iterable


def shuffled(names: Iterable[str], seed: int, purpose: str) -> list[str]:
    """`names` in the order of their hashes: adding a name does not move the others."""
    return sorted(set(names), key=lambda name: _digest(name, seed, purpose))


def draw(name: str, seed: int, purpose: str) -> float:
    """A number in [0, 1), uniform over names, in the order of `shuffled`."""
    return int.from_bytes(_digest(name, seed, purpose)[:6]) / 2**48


def _digest(name: str, seed: int, purpose: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{purpose}\n{name}".encode()).digest()
