"""What the network would add to the kernels, on photos that it was not trained on."""

from pathlib import Path

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.progress import track
from networks.judges.proxy.fit import ladder, scenes
from networks.judges.proxy.fit.heads import Data
from networks.judges.proxy.fit.network import SeverityNet, severities
from networks.judges.proxy.fit.within import across
from networks.judges.proxy.views import look

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of what the network says, beside what the kernel says."""


def ranks(data: Data, photos: Path, net: SeverityNet) -> dict[Degradation, list[float]]:
    """Rank correlation with the drawn severity, by degradation and by each of `SHARES`.

    Kernels are those that were not fitted to the photo they are asked about.
    """
    cv2.setNumThreads(1)
    held = [s for s in range(ladder.SOURCES) if scenes.is_held_out(ladder.photo_of(s))]
    said: dict[str, list[float]] = {degradation.value: [] for degradation in Degradation}
    for source in track(held, "network"):
        for kind, _, image in ladder.versions(photos, source):
            if kind in said:
                said[kind].append(severities(net, look(image).coarse)[kind])
    asked = np.repeat(np.isin(np.arange(ladder.SOURCES), held), ladder.ROWS)
    found = {}
    for degradation in Degradation:
        own = asked & (data.kinds == degradation.value)
        network = np.array(said[degradation.value])
        found[degradation] = blended(across(data, degradation)[own], network, data.drawn[own])
    return found


def blended(kernel: np.ndarray, network: np.ndarray, drawn: np.ndarray) -> list[float]:
    """(n,) severities by the two, and the drawn ones, to the rank correlation of each share."""
    from scipy.stats import spearmanr

    both = [(1 - share) * kernel + share * network for share in SHARES]
    return [float(spearmanr(one, drawn)[0]) for one in both]
