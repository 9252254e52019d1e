"""What the network says of the photos that it was not trained on."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.files import atomic_file
from catalog.progress import track
from catalog.threads import limit_threads
from networks.judges.proxy.fit import ladder
from networks.judges.proxy.fit.heads import Data
from networks.judges.proxy.fit.packed import is_held_out
from networks.judges.proxy.fit.within import across
from networks.judges.proxy.network import load_network, severities
from networks.judges.proxy.views import look

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of what the network says, beside what the kernel says."""


@dataclass(frozen=True)
class Said:
    """The severities of some rows of the ladder by the network."""

    severities: np.ndarray
    """(rows of the ladder that `is_asked`, 9) in the order of `Degradation`"""

    def of(self, degradation: Degradation) -> np.ndarray:
        """(asked rows,)"""
        return self.severities[:, list(Degradation).index(degradation)]


def ask(photos: Path, sha256: str, processes: int) -> Said:
    """What the network says of the versions of the sources whose photos were kept from it."""
    held = [s for s in range(ladder.SOURCES) if is_held_out(ladder.photo_of(s))]
    with ProcessPoolExecutor(processes, initializer=limit_threads, initargs=(1,)) as pool:
        answers = track(pool.map(partial(_ask, photos, sha256), held), "network", total=len(held))
        return Said(np.concatenate(list(answers)))


def _ask(photos: Path, sha256: str, source: int) -> np.ndarray:
    net = load_network(sha256)
    versions = ladder.versions(photos, source)
    return np.array([list(severities(net, look(image)).values()) for _, _, image in versions])


def write(said: Said, place: Path) -> None:
    """Keep the answers: asking takes minutes."""
    with atomic_file(place) as temporary, temporary.open("wb") as file:
        np.savez(file, severities=said.severities)


def read(place: Path, data: Data) -> Said:
    """What `write` wrote, of the ladder `data`.

    Raises `UserError` where there is none, or where its answers are not as many as questions.
    """
    if not place.is_file():
        raise UserError(f"There is no file {place}.", f"Run `fit said --said {place}`.")
    with np.load(place) as content:
        said = Said(content["severities"])
    asked = int(is_asked(data).sum())
    if len(said.severities) != asked:
        raise UserError(
            f"{place} answers {len(said.severities)} questions, not the {asked} of this ladder.",
            f"Run `fit said --said {place}` again.",
        )
    return said


def is_asked(data: Data) -> np.ndarray:
    """(n,) bool: the rows of the ladder of photos that were kept from the network."""
    return np.array([is_held_out(int(photo)) for photo in data.photos])


def ranks(data: Data, said: Said) -> dict[Degradation, list[float]]:
    """Rank correlation with the drawn severity, by degradation and by each of `SHARES`.

    Kernels are those that were not fitted to the photo they are asked about.
    """
    found, asked = {}, is_asked(data)
    for degradation in Degradation:
        own = data.kinds[asked] == degradation.value
        kernel = across(data, degradation)[asked][own]
        found[degradation] = blended(kernel, said.of(degradation)[own], data.drawn[asked][own])
    return found


def blended(kernel: np.ndarray, network: np.ndarray, drawn: np.ndarray) -> list[float]:
    """(n,) severities by the two, and the drawn ones, to the rank correlation of each share."""
    from scipy.stats import spearmanr

    both = [(1 - share) * kernel + share * network for share in SHARES]
    return [float(spearmanr(one, drawn)[0]) for one in both]
