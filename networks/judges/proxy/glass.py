"""A network that says how strong a reflection is: ImageNet's features, trained on from there."""

import copy
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import nn

from catalog.threads import one_thread_each
from networks.judges.proxy.network import answering, batch_of, severity_of, summary, surest
from networks.judges.proxy.sight import load_backbone
from networks.pyramid import Residual, conv, twice
from networks.weights import read_pinned

PLACE = Path(__file__).with_name("proxy-judge-v11-glass.safetensors")
FROZEN = 2
"""Stages of the backbone, after its stem, that stay ImageNet's: edges and textures."""
QUARTER, EIGHTH, SIXTEENTH, DEEP = 24, 40, 112, 192
"""Channels of EfficientNet-Lite0's second, third, fifth and sixth stage."""
WIDE, FINE = 128, 64
"""Channels on the way up, at 1/16 and 1/8 of the size."""
STEM = "stem."
"""Beginning of the names of what is kept: it comes with the backbone, not in the file."""
HIDDEN = 128
LARGER = 1.2
"""Length of the larger view over that of the coarse one."""
SHARE = 2 / 3
"""What this network counts in a mean of it and the network of all degradations."""


class GlassPrediction(NamedTuple):
    """What the network says of n images of h x w pixels."""

    strengths: torch.Tensor
    """(n,): 0 (no reflection) .. 1 (severity 1)"""
    effects: torch.Tensor
    """(n, h / 8, w / 8): how much of each cell is the reflection's doing, 0 .. about 1"""


class GlassNet(nn.Module):
    """(n, 3, h, w) in -1 .. 1, h and w multiples of 32, to a `GlassPrediction` of them.

    Six stages of EfficientNet-Lite0, two levels up again (Lin et al. 2017, feature pyramids), and
    answers as those of `network.SeverityNet`: from means, deviations and the strongest cells of
    each level, and from what every cell at 1/16 says, weighted by how sure it is. A few hundred
    photos tell what a reflection does; what things look like that are not half seen through
    others, a million photos told the backbone.
    """

    def __init__(self, backbone: Any) -> None:
        """`backbone` is an EfficientNet-Lite0 of timm; it is copied."""
        super().__init__()
        own = copy.deepcopy(backbone)
        self.stem = nn.Sequential(own.conv_stem, own.bn1, *own.blocks[:FROZEN])
        self.eighth = own.blocks[2]
        self.sixteenth = nn.Sequential(own.blocks[3], own.blocks[4])
        self.deep = own.blocks[5]
        self.from_deep = conv(DEEP, WIDE, kernel=1)
        self.from_sixteenth = conv(SIXTEENTH, WIDE, kernel=1)
        self.up_sixteenth = Residual(WIDE)
        self.down = conv(WIDE, FINE, kernel=1)
        self.from_eighth = conv(EIGHTH, FINE, kernel=1)
        self.up_eighth = Residual(FINE)
        self.effect = nn.Conv2d(FINE, 1, 1)
        self.local = nn.Conv2d(WIDE, 2, 1)
        wide = 2 * (QUARTER + EIGHTH + SIXTEENTH + DEEP + WIDE + FINE) + DEEP + 2
        self.norm, self.head = answering(wide, HIDDEN, 1, dropout=0.2)

    @property
    def learning(self) -> tuple[nn.Module, ...]:
        """The stages of the backbone that are trained on."""
        return self.eighth, self.sixteenth, self.deep

    def forward(self, values: torch.Tensor) -> GlassPrediction:
        """See the class."""
        with torch.no_grad():
            quarter = self.stem(values)
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        deep = self.deep(sixteenth)
        up16 = self.up_sixteenth(self.from_sixteenth(sixteenth) + twice(self.from_deep(deep)))
        up8 = self.up_eighth(self.from_eighth(eighth) + twice(self.down(up16)))
        effect = self.effect(up8).float()
        levels = (quarter, eighth, sixteenth, up16, up8, deep)
        strengths: torch.Tensor = self.head(self.norm(summary(levels, effect))).float()
        strengths = strengths + surest(self.local(up16))
        return GlassPrediction(strengths[:, 0], effect[:, 0])


def reflection(net: GlassNet, view: np.ndarray) -> float:
    """The severity of the reflection in an (h, w, 3) float32 view in 0 .. 1.

    About 1 (extreme) .. 5 (none), never outside 0 .. 6; meant where there is one. It is looked at
    as it is and `LARGER`.
    """
    larger = cv2.resize(view, None, fx=LARGER, fy=LARGER, interpolation=cv2.INTER_CUBIC)
    return severity_of((_strength(net, view) + _strength(net, larger)) / 2)


@one_thread_each()
@torch.inference_mode()
def _strength(net: GlassNet, view: np.ndarray) -> float:
    return float(net(batch_of(view * 2 - 1)).strengths)


def reflection_by_both(net: GlassNet, view: np.ndarray, first: float) -> float:
    """The severity of the reflection in a view in which the network of all finds `first`."""
    return (1 - SHARE) * first + SHARE * reflection(net, view)


@lru_cache(maxsize=2)
def load_glass(sha256: str, place: Path = PLACE) -> GlassNet:
    """The network whose weights, but for those of `STEM`, `networks.fitting.state.write_network`
    wrote, read once a process.

    Raises `UserError` when the file is another one, or the backbone is.
    """
    from safetensors.torch import load

    weights = load(read_pinned(place, sha256, "the judge's network of reflections"))
    net = GlassNet(load_backbone()).eval().to(memory_format=torch.channels_last)
    net.load_state_dict({name: value.float() for name, value in weights.items()}, strict=False)
    return net
