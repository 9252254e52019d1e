"""What the networks say of the photos that they were not trained on."""

import hashlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

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
from networks.judges.proxy.glass import load_glass, reflection_by_both
from networks.judges.proxy.network import load_network, severities
from networks.judges.proxy.views import look

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of what the networks say, beside what the kernel says."""


class Hashes(NamedTuple):
    """The SHA-256 of the networks that are asked."""

    network: str
    glass: str

    @property
    def name(self) -> str:
        """Sixteen digits that other networks do not have."""
        return hashlib.sha256("\n".join(self).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Said:
    """The severities of some rows of the ladder by the networks."""

    severities: np.ndarray
    """(rows of the ladder that `is_asked`, 9) in the order of `Degradation`"""

    def of(self, degradation: Degradation) -> np.ndarray:
        """(asked rows,)"""
        return self.severities[:, list(Degradation).index(degradation)]


def held_out() -> list[int]:
    """The sources of the ladder whose photos were kept from the networks."""
    return [s for s in range(ladder.SOURCES) if is_held_out(ladder.photo_of(s))]


def place_of(folder: Path, networks: Hashes, source: int) -> Path:
    """The file of what the networks say of the versions of a source."""
    return folder / f"{source:04d}-{networks.name}.npy"


def ask(photos: Path, folder: Path, networks: Hashes, processes: int) -> None:
    """Write what the networks say of the versions of the sources that are `held_out`.

    A run that was cut off goes on.
    """
    held = held_out()
    with ProcessPoolExecutor(processes, initializer=limit_threads, initargs=(1,)) as pool:
        work = partial(_ask, photos, folder, networks)
        for _ in track(pool.map(work, held), "networks", total=len(held)):
            pass


def _ask(photos: Path, folder: Path, networks: Hashes, source: int) -> None:
    place = place_of(folder, networks, source)
    if place.exists():
        return
    net, glass, rows = load_network(networks.network), load_glass(networks.glass), []
    for kind, _, image in ladder.versions(photos, source):
        views = look(image)
        found = severities(net, views)
        # What is fitted to a degradation are the versions with it and the clean ones.
        if kind in ("clean", Degradation.REFLECTION):
            first = found[Degradation.REFLECTION]
            found[Degradation.REFLECTION] = reflection_by_both(glass, views.coarse, first)
        rows.append(list(found.values()))
    # Here and not where all is gathered: a full disk then ends the run at once.
    with atomic_file(place) as temporary, temporary.open("wb") as file:
        np.save(file, np.array(rows))


def read(folder: Path, networks: Hashes, data: Data) -> Said:
    """What `ask` wrote of the networks, of the ladder `data`.

    Raises `UserError` where some is missing, or where answers are not as many as questions.
    """
    places = [place_of(folder, networks, source) for source in held_out()]
    missing = sum(not place.is_file() for place in places)
    if missing:
        raise UserError(
            f"{folder} lacks what these networks say of {missing} of {len(places)} sources.",
            f"Run `fit said --said {folder}`, which goes on where it was.",
        )
    answers = [_load(place) for place in places]
    questions = [int((data.sources == source).sum()) for source in held_out()]
    if [len(answer) for answer in answers] != questions:
        raise UserError(
            f"{folder} answers other questions than those of this ladder.",
            "Run `fit said` with another --said.",
        )
    return Said(np.concatenate(answers))


def _load(place: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(place, allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise UserError(
            f"{place} is damaged: {error}.", "Delete it, then run `fit said` again: it goes on."
        ) from error


def is_asked(data: Data) -> np.ndarray:
    """(n,) bool: the rows of the ladder of photos that were kept from the networks."""
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
