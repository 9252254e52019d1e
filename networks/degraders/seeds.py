"""The seed of one synthetic image."""

import hashlib


def image_seed(base: int, image_id: str, degradation: str, variant: int = 0) -> int:
    """A seed of 63 bits that depends on all four, so that pairs do not share their randomness."""
    text = f"{base}\n{image_id}\n{degradation}\n{variant}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
