"""One degradation at known severities, on many photos: what the severity trees learn from.

Unlike `samples`, nothing is mixed and half of the versions are not coded again, so that the rank of
severities is as sharp as the synthesis makes it.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.files import atomic_file
from catalog.images import Rgb, decode
from networks.degraders import load_degrader
from networks.judges.proxy.fit.photos import all_photos
from networks.judges.proxy.fit.samples import develop, publish
from networks.judges.proxy.measures import measure

PACKAGE = "endless-sky-high-dpi"
"""Debian 12's; its landscapes are photos, mostly in the public domain."""
PATTERN = "usr/share/games/endless-sky/plugins/endless-sky-high-dpi/images/land/*.jpg"
NOT_CLEAN = ("fog", "space", "sky", "nasa", "lava", "snow")
"""Beginnings of the names of pictures that are hazy, drawn or dark in themselves."""
LISTED = "8caafae59cf34d3d78c09c489326cd065dfdbe41995cea2a48a92fe1a0826c71"
"""SHA-256 over the SHA-256 of the pictures that are taken, in order."""
CROPS_OF_LISTED = 3
"""Crops of each photo of photos.json; one of each landscape."""
SIDES = (360, 640)
"""Longer side of a crop, px."""
SEED = 20261125
PUBLISHED = 0.35
"""Share of the versions that went through a web codec."""
SOURCES = 351
"""Crops of the photos and landscapes there are."""
USED = 124
"""So many of them are measured and fitted to."""


@lru_cache(maxsize=1)
def landscapes(folder: Path) -> tuple[Path, ...]:
    """The landscapes below `folder`/PACKAGE. Raises `UserError` when they are others."""
    found = sorted((folder / PACKAGE).glob(PATTERN))
    taken = tuple(path for path in found if not path.name.startswith(NOT_CLEAN))
    digest = hashlib.sha256()
    for path in taken:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    if digest.hexdigest() != LISTED:
        raise UserError(
            f"The landscapes in {folder / PACKAGE} are not those that the judge was fitted to "
            f"({len(taken)} found, {digest.hexdigest()}).",
            f"apt-get download {PACKAGE}=0.9.8-1; dpkg-deb -x {PACKAGE}_*.deb {folder / PACKAGE}.",
        )
    return taken


def used() -> list[int]:
    """The sources that are measured, in an order that mixes the kinds of photo."""
    return sorted(range(SOURCES), key=lambda source: source * 97 % 359)[:USED]


def photo_of(source: int) -> int:
    """A number that all crops of one photo share, as `photos.is_held_out` takes it."""
    listed = CROPS_OF_LISTED * len(all_photos())
    return source // CROPS_OF_LISTED if source < listed else source


def measure_source(out: Path, folder: Path, source: int) -> None:
    """Measures of all `versions` of a source, as JSON; kept when it is there."""
    place = out / f"{source:04d}.json"
    if place.exists():
        return
    cv2.setNumThreads(1)
    rows = [
        {"source": source, "kind": kind, "severity": severity, "measures": measure(image)}
        for kind, severity, image in versions(folder, source)
    ]
    with atomic_file(place) as temporary:
        temporary.write_text(json.dumps(rows), "utf-8")


def versions(folder: Path, source: int) -> Iterator[tuple[str, float, Rgb]]:
    """Kind, severity on the degraders' scale (5 for "clean") and pixels of each version of a crop.

    A stronger and a milder one of each degradation, a clean one, and another clean crop.
    """
    photo, other = _load(folder, source), _load(folder, (source * 7 + 3) % SOURCES)
    rng = np.random.default_rng([SEED, source])
    crop, layer = _crop(photo, rng), _crop(other, rng)
    yield "clean", 5.0, _published(develop(crop, rng), rng, None)
    for number, kind in enumerate(Degradation):
        rng = np.random.default_rng([SEED, source, number])
        image = develop(crop, rng)
        layers = [layer] if kind is Degradation.REFLECTION and rng.random() < 0.7 else []
        degrader = load_degrader(kind, layers=layers)
        for span in ((1.0, 3.0), (3.0, 5.0)):
            severity = float(rng.uniform(*span))
            degraded = degrader.degrade(image, severity, rng)
            yield kind.value, severity, _published(degraded, rng, kind)
    rng = np.random.default_rng([SEED, source, len(Degradation)])
    yield "clean", 5.0, _published(develop(_crop(photo, rng), rng), rng, None)


def _published(image: Rgb, rng: np.random.Generator, kind: Degradation | None) -> Rgb:
    if rng.random() >= PUBLISHED:
        return image
    return decode(publish(image, rng, keep=kind is Degradation.COMPRESSION))


@lru_cache(maxsize=4)
def _load(folder: Path, source: int) -> Rgb:
    listed = CROPS_OF_LISTED * len(all_photos())
    if source >= listed:
        return decode(landscapes(folder)[source - listed].read_bytes())
    image = all_photos()[source // CROPS_OF_LISTED].load(folder)
    share = 2000 / max(image.shape[:2])
    if share < 1:
        image = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return image


def _crop(photo: Rgb, rng: np.random.Generator) -> Rgb:
    height, width = photo.shape[:2]
    aspect = float(rng.choice([1.5, 1.33, 1.0, 0.75, 0.67], p=[0.4, 0.2, 0.15, 0.1, 0.15]))
    tall = float(rng.uniform(0.5, 1.0)) * min(height, width / aspect)
    rows, columns = int(tall), int(tall * aspect)
    down, right = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    crop = photo[down : down + rows, right : right + columns]
    share = float(np.exp(rng.uniform(*np.log(SIDES)))) / max(rows, columns)
    if share < 1:
        crop = cv2.resize(crop, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)
