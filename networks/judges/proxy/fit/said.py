"""What the network says of the photos that it was not trained on."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.files import atomic_file
from catalog.progress import track
from networks.judges.proxy.fit import ladder
from networks.judges.proxy.fit.heads import Data
from networks.judges.proxy.fit.packed import is_held_out
from networks.judges.proxy.fit.within import across
from networks.judges.proxy.network import SeverityNet, severities
from networks.judges.proxy.views import look

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of what the network says, beside what the kernel says."""


@dataclass(frozen=True)
class Said:
    """The severities of some rows of the ladder by the network."""

    asked: np.ndarray
    """(rows of the ladder,) bool"""
    severities: np.ndarray
    """(asked rows, 9) in the order of `Degradation`"""

    def of(self, degradation: Degradation) -> np.ndarray:
        """(asked rows,)"""
        return self.severities[:, list(Degradation).index(degradation)]


def ask(photos: Path, net: SeverityNet) -> Said:
    """What `net` says of all versions of the sources whose photos were kept from it."""
    cv2.setNumThreads(1)
    held = [s for s in range(ladder.SOURCES) if is_held_out(ladder.photo_of(s))]
    rows = [
        list(severities(net, look(image)).values())
        for source in track(held, "network")
        for _, _, image in ladder.versions(photos, source)
    ]
    asked = np.repeat(np.isin(np.arange(ladder.SOURCES), held), ladder.ROWS)
    return Said(asked, np.array(rows))


def write(said: Said, place: Path) -> None:
    """Keep the answers: asking takes minutes."""
    with atomic_file(place) as temporary, temporary.open("wb") as file:
        np.savez(file, asked=said.asked, severities=said.severities)


def read(place: Path) -> Said:
    """What `write` wrote."""
    with np.load(place) as content:
        return Said(content["asked"], content["severities"])


def ranks(data: Data, said: Said) -> dict[Degradation, list[float]]:
    """Rank correlation with the drawn severity, by degradation and by each of `SHARES`.

    Kernels are those that were not fitted to the photo they are asked about.
    """
    found = {}
    for degradation in Degradation:
        own = data.kinds[said.asked] == degradation.value
        kernel = across(data, degradation)[said.asked][own]
        found[degradation] = blended(kernel, said.of(degradation)[own], data.drawn[said.asked][own])
    return found


def blended(kernel: np.ndarray, network: np.ndarray, drawn: np.ndarray) -> list[float]:
    """(n,) severities by the two, and the drawn ones, to the rank correlation of each share."""
    from scipy.stats import spearmanr

    both = [(1 - share) * kernel + share * network for share in SHARES]
    return [float(spearmanr(one, drawn)[0]) for one in both]
