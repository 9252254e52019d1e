"""The photos that the networks are trained on, small enough to be carried to another machine."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from catalog.errors import ImageRefused, UserError
from catalog.files import atomic_folder
from catalog.images import Rgb, decode
from catalog.progress import track
from networks.judges.proxy.fit import sources

HELD_OUT_EVERY = 6
"""Every sixth photo of `sources` is kept from the network."""
FIRST_HELD_OUT = 2
LEAST_SIDE = 300
"""Shorter side, px, of the other pictures that are taken."""


@dataclass(frozen=True)
class Kind:
    """How pictures of one kind are kept."""

    longest: int
    """Pixels of the longer side that they are reduced to."""
    quality: int
    """Of WebP."""


KINDS = {"photos": Kind(900, 90), "others": Kind(640, 80)}


def is_held_out(photo: int) -> bool:
    """Whether a photo of `sources` is kept from the network."""
    return photo % HELD_OUT_EVERY == FIRST_HELD_OUT


def pack(folder: Path, out: Path) -> None:
    """Write into `out` what the network is trained on of the packages unpacked below `folder`.

    Raises as `sources.load`.
    """
    others = (np.load(path) for path in sources.other_pictures(folder))
    pictures = {
        "photos": (sources.load(folder, n) for n in range(sources.COUNT) if not is_held_out(n)),
        "others": (image for image in others if min(image.shape[:2]) >= LEAST_SIDE),
    }
    with atomic_folder(out) as temporary:
        for name, kind in KINDS.items():
            (temporary / name).mkdir()
            for number, image in enumerate(track(pictures[name], name)):
                place = temporary / name / f"{number:04d}.webp"
                Image.fromarray(sources.reduced(image, kind.longest)).save(
                    place, quality=kind.quality, method=4
                )


def unpack(folder: Path) -> tuple[list[Rgb], list[Rgb]]:
    """The photos and the other pictures that `pack` wrote.

    Raises `UserError` where there are none, and for a file that is no picture.
    """
    found = {name: sorted((folder / name).glob("*.webp")) for name in KINDS}
    if not all(found.values()):
        raise UserError(
            f"{folder} lacks the folders {' and '.join(KINDS)} of WebP files.",
            "`python -m networks.judges.proxy.fit pack` writes them.",
        )
    photos, others = ([_read(path) for path in paths] for paths in found.values())
    return photos, others


def _read(path: Path) -> Rgb:
    try:
        return decode(path.read_bytes())
    except ImageRefused as refused:
        raise UserError(
            f"{path} is no whole picture ({refused.reason}).", "Copy the pack here once more."
        ) from refused
