"""A small network that says how strong each degradation is, and where."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import nn

from catalog.degradations import Degradation
from networks.judges.proxy.views import Views
from networks.pyramid import MULTIPLE, Pyramid, Residual, planes
from networks.weights import read_pinned

PLACE = Path(__file__).with_name("proxy-judge-v11-network.safetensors")

CELL = 8
"""Pixels to one cell of the map of effects."""
WIDTHS = (64, 112, 224, 304)
DEPTHS = (1, 1, 2, 2, 1, 1)
HIDDEN = 192
TOP = 8
"""One in so many cells counts as the strongest part."""
USUAL_SIDE = 320.0
"""Shorter side of a view, px, from which its size is told in octaves."""
COUNT = len(Degradation)
WINDOW = 512
"""Pixels a side of what is looked at in full size."""
FULL_SIZE_FROM = 1.25
"""Length of an image over that of its coarse view from which its middle is looked at in full size
too: below that the two show nearly the same, and each costs as much."""
STRONGER_VIEW = (Degradation.COMPRESSION, Degradation.LOW_LIGHT, Degradation.NOISE)
"""What the view in full size is asked about too: whichever finds more of it counts. The coarse
view takes traces of a codec and grain away."""
MEAN_OF_VIEWS = (Degradation.MOIRE,)
"""Where the mean of the two counts. What is not named is seen as a whole: the coarse view counts.

Both were chosen on 20 and 25 photos of 1,200 px or more that were not trained on.
"""
BORDER = cv2.BORDER_REFLECT_101
"""How views are filled up to a multiple of 32."""


class Prediction(NamedTuple):
    """What the network says of n images of h x w pixels."""

    strengths: torch.Tensor
    """(n, 9): 0 (none) .. 1 (severity 1)"""
    effects: torch.Tensor
    """(n, 9, h / 8, w / 8): how much of each cell is the degradation's doing, 0 .. about 1"""
    shifts: torch.Tensor
    """(n, 3, h / 8, w / 8): how much redder, greener and bluer each cell became, of 0 .. 1"""


class SeverityNet(Pyramid):
    """(n, 4, h, w) `planes` and (n,) `size` to a `Prediction` of them.

    What is said of the image is the sum of two answers: one from the mean
    and the deviation of each level over the cells and from the strongest effects, one the mean of
    what every cell of the third level says, weighted by how sure it is. Effects and shifts are
    what it learns from more than from nine numbers an image: they say where to look.
    """

    def __init__(self) -> None:
        super().__init__(WIDTHS, DEPTHS, Residual)
        a, b, c, d = WIDTHS
        self.effect = nn.Conv2d(b, COUNT, 1)
        self.shift = nn.Conv2d(b, 3, 1)
        self.local = nn.Conv2d(c, 2 * COUNT, 1)
        wide = 2 * (a + b + c + d + c + b) + d + 2 * COUNT + 1
        self.norm, self.head = answering(wide, HIDDEN, COUNT, dropout=0.1)

    def forward(self, planes: torch.Tensor, size: torch.Tensor) -> Prediction:
        """See the class."""
        quarter, eighth, sixteenth, deep, up16, up8 = self.levels(planes)
        effect = self.effect(up8).float()
        levels = (quarter, eighth, sixteenth, up16, up8, deep)
        found = torch.cat([size.float()[:, None], summary(levels, effect)], dim=1)
        strengths: torch.Tensor = self.head(self.norm(found)).float()
        strengths = strengths + surest(self.local(up16))
        return Prediction(strengths, effect, self.shift(up8).float())


def answering(
    inputs: int, hidden: int, outputs: int, dropout: float
) -> tuple[nn.BatchNorm1d, nn.Sequential]:
    """The layers from a `summary` to answers."""
    norm = nn.BatchNorm1d(inputs)
    # Thousands of inputs of size 1 would make each step of Adam a leap of the answer.
    nn.init.constant_(norm.weight, 0.1)
    return norm, nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(hidden, outputs),
    )


def summary(levels: Sequence[torch.Tensor], effects: torch.Tensor) -> torch.Tensor:
    """What is known of an image by all its cells: (n, 2 * all channels + the last's + 2 * k).

    Mean and deviation of each of the levels, (n, channels, h, w), the strongest cells of the last
    one, mean and strongest cells of the (n, k, h, w) effects.
    """
    found = []
    for level in levels:
        cells = level.flatten(2).float()
        found += [cells.mean(dim=2), (cells.var(dim=2, correction=0) + 1e-5).sqrt()]
    flat = effects.flatten(2)
    return torch.cat([*found, _strongest(cells), flat.mean(dim=2), _strongest(flat)], dim=1)


def surest(local: torch.Tensor) -> torch.Tensor:
    """(n, 2 k, h, w), what each cell says and how sure it is, to the (n, k) that they agree on."""
    said, sure = local.float().flatten(2).chunk(2, dim=1)
    return (said * sure.softmax(dim=2)).sum(dim=2)


def _strongest(cells: torch.Tensor) -> torch.Tensor:
    """(n, channels, cells) to (n, channels): the mean of the strongest of each channel."""
    return cells.topk(max(cells.shape[2] // TOP, 1), dim=2).values.mean(dim=2)


def size_of(shape: tuple[int, ...]) -> float:
    """Octaves of the shorter side of a view of `shape`, (h, w, ...), above `USUAL_SIDE`."""
    return float(np.log2(min(shape[:2]) / USUAL_SIDE))


class Strengths(NamedTuple):
    """What the network finds in one image, by view: (9,) each, 0 (none) .. 1 (severity 1)."""

    coarse: np.ndarray
    full_size: np.ndarray | None = None
    """Of its middle; None where it was not looked at yet."""

    def tell(self, degradation: Degradation) -> bool:
        """Whether they are enough for the severity of the degradation."""
        return self.full_size is not None or degradation not in (*STRONGER_VIEW, *MEAN_OF_VIEWS)

    def severity(self, degradation: Degradation) -> float:
        """Within the degradation, about 1 (extreme) .. 5 (none), never outside 0 .. 6.

        It is meant where the degradation is there: a clean image is mostly, not always, near 5.
        Not limited to 1 .. 5, so that two clean images can be told apart.
        """
        place = list(Degradation).index(degradation)
        strength = float(self.coarse[place])
        if self.full_size is not None:
            fine = float(self.full_size[place])
            if degradation in STRONGER_VIEW:
                strength = max(strength, fine)
            elif degradation in MEAN_OF_VIEWS:
                strength = (strength + fine) / 2
        return severity_of(strength)


def find(
    net: SeverityNet, views: Views, degradation: Degradation, known: Strengths | None = None
) -> Strengths:
    """Look at what the severity of the degradation takes, where that is not `known`.

    From `FULL_SIZE_FROM` on the middle is looked at in full size too, for what `STRONGER_VIEW` and
    `MEAN_OF_VIEWS` name.
    """
    found = known or Strengths(_strengths(net, views.coarse))
    if found.tell(degradation):
        return found
    large = views.scale >= FULL_SIZE_FROM
    return Strengths(found.coarse, _strengths(net, _window(views.fine)) if large else found.coarse)


def severities(net: SeverityNet, views: Views) -> dict[Degradation, float]:
    """`Strengths.severity` of each degradation."""
    found, said = None, {}
    for degradation in Degradation:
        found = find(net, views, degradation, found)
        said[degradation] = found.severity(degradation)
    return said


def severity_of(strength: float) -> float:
    """0 (none) .. 1 (severity 1) to 5 .. 1, a little beyond at both ends, never outside 0 .. 6."""
    return min(max(5 - 4 * strength, 0.0), 6.0)


def _window(fine: np.ndarray) -> np.ndarray:
    """The middle of the fine view, on its 8 x 8 grid."""
    rows, columns = (max(side - WINDOW, 0) // 16 * 8 for side in fine.shape[:2])
    return fine[rows : rows + WINDOW, columns : columns + WINDOW]


@torch.inference_mode()
def _strengths(net: SeverityNet, view: np.ndarray) -> np.ndarray:
    """(9,) of an (h, w, 3) float32 view."""
    data = batch_of(planes(view).transpose(1, 2, 0))
    strengths = net(data, torch.tensor([size_of(view.shape)])).strengths[0]
    return np.asarray(strengths, np.float64)


def batch_of(image: np.ndarray) -> torch.Tensor:
    """(h, w, c) float32 to (1, c, h', w'), filled up at the right and below to a `MULTIPLE`."""
    rows, columns = (-side % MULTIPLE for side in image.shape[:2])
    padded = cv2.copyMakeBorder(image, 0, rows, 0, columns, BORDER)
    data = torch.from_numpy(padded.transpose(2, 0, 1)[None].copy())
    return data.contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=2)
def load_network(sha256: str, place: Path = PLACE) -> SeverityNet:
    """The network whose weights `networks.fitting.state.write_network` wrote, read once a process.

    Raises `UserError` when the file is another one.
    """
    from safetensors.torch import load

    net = SeverityNet().eval().to(memory_format=torch.channels_last)
    weights = load(read_pinned(place, sha256, "the judge's network"))
    net.load_state_dict({name: value.float() for name, value in weights.items()}, strict=False)
    return net
