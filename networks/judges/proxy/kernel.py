"""How severe a degradation is, given that it is there: a support vector regression on measures."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from catalog.degradations import Degradation
from catalog.files import atomic_file
from networks.weights import read_pinned

PLACE = Path(__file__).with_name("proxy-judge-v11.safetensors")

LIMIT = 3.0
"""Measures count up to so many standard deviations from their mean: beyond, nothing was learnt."""

PARTS = ("mean", "reach", "scale", "centres", "weights")


@dataclass(frozen=True)
class Kernel:
    """f(x) = bias + sum_i c_i exp(-gamma |z(x) - z_i|^2), z the limited and scaled measures,
    f limited to 1 .. 5.

    Gaussian-kernel regression (Drucker et al. 1997), smooth and bounded: far from all that it was
    fitted to, it says `bias`.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    """(measures,)"""
    reach: np.ndarray
    """(measures,), above 0: how far from the mean they count"""
    scale: np.ndarray
    """(measures,), above 0: the standard deviation of a measure; one for all components of a
    `Sight`, which so differ in what they count as they differ"""
    centres: np.ndarray
    """(centres, measures), scaled"""
    weights: np.ndarray
    """(centres,)"""
    bias: float
    gamma: float

    def severity(self, values: np.ndarray) -> np.ndarray:
        """(n, measures) raw measures to (n,) severities on the degraders' scale, 1 .. 5."""
        places = scaled(values, self.mean, self.reach, self.scale)
        squares = (places**2).sum(axis=1)[:, None] + (self.centres**2).sum(axis=1)
        distances = np.maximum(squares - 2 * places @ self.centres.T, 0)
        return np.clip(np.exp(-self.gamma * distances) @ self.weights + self.bias, 1, 5)


def scaled(
    values: np.ndarray, mean: np.ndarray, reach: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """(n, measures) to their distances from the mean, limited and scaled."""
    return np.clip(values - mean, -reach, reach) / scale


def write_kernels(kernels: Mapping[Degradation, Kernel], place: Path) -> str:
    """Write the kernels as safetensors; return the SHA-256 of the file."""
    from safetensors.numpy import save

    tensors: dict[str, np.ndarray] = {}
    for degradation, kernel in kernels.items():
        parts = {
            **{name: getattr(kernel, name) for name in PARTS},
            "last": np.array([kernel.bias, kernel.gamma]),
        }
        for name, value in parts.items():
            # Centres are small numbers: half precision is 0.002 of a deviation there.
            kind = np.float16 if name == "centres" else np.float32
            tensors[f"{degradation.value}/{name}"] = np.ascontiguousarray(value, kind)
        # Not as metadata: the file's hash would hang on the order of a hash map.
        text = " ".join(kernel.names).encode()
        tensors[f"{degradation.value}/names"] = np.frombuffer(text, np.uint8)
    data = save(tensors)
    with atomic_file(place) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


@lru_cache(maxsize=4)
def load_kernels(sha256: str, place: Path = PLACE) -> dict[Degradation, Kernel]:
    """Read the kernels and check their hash. Raises `UserError` when it is another one."""
    from safetensors.numpy import load

    found = load(read_pinned(place, sha256, "the judge"))

    def part(degradation: Degradation, name: str) -> np.ndarray:
        return found[f"{degradation.value}/{name}"].astype(np.float64)

    return {
        d: Kernel(
            tuple(found[f"{d.value}/names"].tobytes().decode().split()),
            part(d, "mean"),
            part(d, "reach"),
            part(d, "scale"),
            part(d, "centres"),
            part(d, "weights"),
            *part(d, "last").tolist(),
        )
        for d in Degradation
        if f"{d.value}/names" in found
    }
