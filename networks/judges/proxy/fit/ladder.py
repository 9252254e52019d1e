"""One degradation at known severities, on many photos: what the kernels learn from.

Unlike `samples`, nothing is mixed and half of the versions are not coded again, so that the rank of
severities is as sharp as the synthesis makes it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.files import atomic_file
from catalog.images import Rgb, decode
from networks.degraders import load_degrader
from networks.judges.proxy.fit import sources
from networks.judges.proxy.fit.samples import develop, publish
from networks.judges.proxy.measures import measure_views
from networks.judges.proxy.sight import levels_of
from networks.judges.proxy.views import look

CROPS_OF_LISTED = 3
"""Crops of each photo of photos.json; one of each landscape and picture."""
SIDES = (360, 640)
"""Longer side of a crop, px."""
LARGE = (900, 1600)
"""Longer side of the large crops, px, whose sharpness, grain and grid are those of photos as they
come from the web: by small crops alone noise and low light of large photos are ranked worse."""
LEAST = 0.5
"""Smallest share of the largest part of a photo that a crop takes."""
LEAST_OF_LARGE = 0.85
LARGE_EVERY = 2
"""One large crop of every second photo."""
SEED = 20261125
PUBLISHED = 0.35
"""Share of the versions that went through a web codec."""
MIRRORED = 351
"""Reflections mirror one of the first so many sources."""
AGAIN = {Degradation.BLUR: 4}
"""How often more the two versions of a degradation are made, where more of them tell more."""
SMALL = CROPS_OF_LISTED * sources.COUNTS[0] + sum(sources.COUNTS[1:])
"""Crops of `SIDES`; those of `LARGE` come after them."""
SOURCES = SMALL + -(-sources.COUNT // LARGE_EVERY)


def photo_of(source: int) -> int:
    """The number in `sources` of the photo that a source is a crop of."""
    if source >= SMALL:
        return (source - SMALL) * LARGE_EVERY
    listed = CROPS_OF_LISTED * sources.COUNTS[0]
    return source // CROPS_OF_LISTED if source < listed else source - listed + sources.COUNTS[0]


def first(sources: np.ndarray, count: int) -> np.ndarray:
    """(n,) bool: which of `sources` are among so many, in an order that mixes their kinds."""
    mixed = sorted(range(MIRRORED), key=lambda source: source * 97 % 359)
    order = [*mixed, *range(MIRRORED, SOURCES)]
    return np.isin(sources, order[:count])


def measure_source(out: Path, folder: Path, source: int) -> None:
    """Measures and levels of the `versions` of a source, as JSON; kept when it is there."""
    place = out / f"{source:04d}.json"
    if place.exists():
        return
    cv2.setNumThreads(1)
    rows = [
        {"source": source, "kind": kind, "severity": severity, **_measured(image)}
        for kind, severity, image in versions(folder, source)
    ]
    with atomic_file(place) as temporary:
        temporary.write_text(json.dumps(rows), "utf-8")


def _measured(image: Rgb) -> dict[str, Any]:
    views = look(image)
    levels = [float(f"{value:.6g}") for value in levels_of(views.coarse)]
    return {"measures": measure_views(views), "levels": levels}


def versions(folder: Path, source: int) -> Iterator[tuple[str, float, Rgb]]:
    """Kind, severity on the degraders' scale (5 for "clean") and pixels of each version of a crop.

    A stronger and a milder one of each degradation, a clean one, another clean crop, and what is
    made `AGAIN`.
    """
    photo = sources.load(folder, photo_of(source))
    other = sources.load(folder, photo_of((source * 7 + 3) % MIRRORED))
    rng = np.random.default_rng([SEED, source])
    sides, least = (SIDES, LEAST) if source < SMALL else (LARGE, LEAST_OF_LARGE)
    part, layer = crop(photo, rng, least, sides), crop(other, rng, least, sides)
    yield "clean", 5.0, _published(develop(part, rng), rng, None)
    for number, kind in enumerate(Degradation):
        rng = np.random.default_rng([SEED, source, number])
        yield from _degraded(kind, part, layer, rng)
    rng = np.random.default_rng([SEED, source, len(Degradation)])
    yield "clean", 5.0, _published(develop(crop(photo, rng, least, sides), rng), rng, None)
    for number, kind in enumerate(Degradation):
        for again in range(1, AGAIN.get(kind, 0) + 1):
            rng = np.random.default_rng([SEED, source, number, again])
            yield from _degraded(kind, part, layer, rng)


def _degraded(
    kind: Degradation, part: Rgb, layer: Rgb, rng: np.random.Generator
) -> Iterator[tuple[str, float, Rgb]]:
    """A stronger and a milder version of a crop."""
    image = develop(part, rng)
    layers = [layer] if kind is Degradation.REFLECTION and rng.random() < 0.7 else []
    degrader = load_degrader(kind, layers=layers)
    for span in ((1.0, 3.0), (3.0, 5.0)):
        severity = float(rng.uniform(*span))
        degraded = degrader.degrade(image, severity, rng)
        yield kind.value, severity, _published(degraded, rng, kind)


def _published(image: Rgb, rng: np.random.Generator, kind: Degradation | None) -> Rgb:
    if rng.random() >= PUBLISHED:
        return image
    return decode(publish(image, rng, keep=kind is Degradation.COMPRESSION))


def crop(
    photo: Rgb,
    rng: np.random.Generator,
    least: float = LEAST,
    sides: tuple[float, float] = SIDES,
) -> Rgb:
    """A part of a photo, mirrored or not, its longer side reduced to one of `sides`, px.

    `least` is its smallest share of the largest part of that aspect.
    """
    height, width = photo.shape[:2]
    aspect = float(rng.choice([1.5, 1.33, 1.0, 0.75, 0.67], p=[0.4, 0.2, 0.15, 0.1, 0.15]))
    tall = float(rng.uniform(least, 1.0)) * min(height, width / aspect)
    rows, columns = int(tall), int(tall * aspect)
    down, right = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    part = photo[down : down + rows, right : right + columns]
    share = float(np.exp(rng.uniform(*np.log(sides)))) / max(rows, columns)
    if share < 1:
        part = cv2.resize(part, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)
