"""The identity of a training pair."""

import hashlib


def pair_id(degraded_id: str, clean_id: str, degradation: str) -> str:
    """SHA-256 over the two image ids and the degradation, 64 hexadecimal digits.

    A photo can carry two degradations, so the same two images can be two pairs.
    """
    return hashlib.sha256(f"{degraded_id}\n{clean_id}\n{degradation}".encode()).hexdigest()
