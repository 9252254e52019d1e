"""All the photos that severities are learnt from, in one order, from Debian and PyPI packages."""

import hashlib
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from catalog.errors import UserError
from catalog.images import Rgb, decode
from networks.judges.proxy.fit.photos import all_photos

PACKAGE = "endless-sky-high-dpi"
"""Debian 12's; its landscapes are photos, mostly in the public domain."""
PATTERN = "usr/share/games/endless-sky/plugins/endless-sky-high-dpi/images/land/*.jpg"
NOT_CLEAN = ("fog", "space", "sky", "nasa", "lava", "snow")
"""Beginnings of the names of pictures that are hazy, drawn or dark in themselves."""
LISTED = "8caafae59cf34d3d78c09c489326cd065dfdbe41995cea2a48a92fe1a0826c71"
"""SHA-256 over the SHA-256 of the landscapes that are taken, in order."""
PICTURED = ("gcompris-qt-data", "tuxpaint-data")
"""Packages whose animals, buildings, people and surfaces are photos; the others that the network of
marks is trained on are textures, drawings and cut-out things."""
PICTURES = "ccc60959f7e905cc0289071d4ad91d288f18ffa30255000993ea7eae9cb08a4e"
"""SHA-256 over the SHA-256 of their pixels, in order."""
OTHER = ("cube2-data", "stellarium-data", "tuxpaint-stamps-default")
"""Packages of textures, panoramas and cut-out things, which the network of severities sees too."""
OTHER_PICTURES = "1fcb370fd7b5bc15d2c993a32fdc74c3a5b3883b1a0ac5f0621d9cc61afddedf"
"""SHA-256 over the SHA-256 of their pixels, in order."""
COUNTS = (45, 216, 133)
"""Photos of photos.json, landscapes, pictures."""
COUNT = sum(COUNTS)
LONGEST = 2000
"""Pixels of the longer side that photos are reduced to."""


@lru_cache(maxsize=4)
def load(folder: Path, photo: int) -> Rgb:
    """Pixels of one of the `COUNT` photos, from packages unpacked below `folder`.

    The pictures of `PICTURED` are read from `folder`/pictures, which is the folder of that name in
    the --work of `python -m networks.watermark.fit`. Raises `UserError` when a photo is missing or
    is another one.
    """
    listed, landscape, _ = COUNTS
    if photo < listed:
        return reduced(all_photos()[photo].load(folder), LONGEST)
    if photo < listed + landscape:
        return decode(landscapes(folder)[photo - listed].read_bytes())
    return np.load(pictures(folder)[photo - listed - landscape])


@lru_cache(maxsize=1)
def landscapes(folder: Path) -> tuple[Path, ...]:
    """The landscapes below `folder`/PACKAGE. Raises `UserError` when they are others."""
    found = sorted((folder / PACKAGE).glob(PATTERN))
    taken = tuple(path for path in found if not path.name.startswith(NOT_CLEAN))
    digest = _digest([path.read_bytes() for path in taken])
    if digest != LISTED:
        raise UserError(
            f"The landscapes in {folder / PACKAGE} are not those that the judge was fitted to "
            f"({len(taken)} found, {digest}).",
            f"apt-get download {PACKAGE}=0.9.8-1; dpkg-deb -x {PACKAGE}_*.deb {folder / PACKAGE}.",
        )
    return taken


def pictures(folder: Path) -> tuple[Path, ...]:
    """The pictures of `PICTURED`. Raises `UserError` when they are others."""
    return _pictures(folder, PICTURED, PICTURES)


def other_pictures(folder: Path) -> tuple[Path, ...]:
    """The pictures of `OTHER`. Raises `UserError` when they are others."""
    return _pictures(folder, OTHER, OTHER_PICTURES)


@lru_cache(maxsize=2)
def _pictures(folder: Path, packages: tuple[str, ...], sha256: str) -> tuple[Path, ...]:
    place = folder / "pictures"
    taken = tuple(path for name in packages for path in sorted((place / name).glob("*.npy")))
    digest = _digest([np.load(path).tobytes() for path in taken])
    if digest != sha256:
        raise UserError(
            f"The pictures of {', '.join(packages)} in {place} are not those that the judge was "
            f"fitted to ({len(taken)} found, {digest}).",
            "`python -m networks.watermark.fit --work WORK` makes them, in WORK/pictures: link "
            "that folder there.",
        )
    return taken


def _digest(contents: list[bytes]) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def reduced(image: Rgb, longest: int) -> Rgb:
    """The image with a longer side of at most `longest` pixels."""
    share = longest / max(image.shape[:2])
    if share >= 1:
        return image
    return cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
