"""The photos and fonts, from the Debian packages that packages.json names."""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from catalog.errors import UserError
from catalog.files import atomic_folder
from catalog.images import Rgb
from catalog.progress import track

PACKAGES = Path(__file__).with_name("packages.json")
LONGEST = 1200
"""Pixels of the longer side at which photos are kept."""
LEAST_SIDE = 250
HELD_OUT_EVERY = 8
"""Every eighth picture is measured on and never trained on."""


def prepare(debs: Path, work: Path) -> tuple[list[Path], list[Path]]:
    """Unpack the packages in `debs` below `work`, once; the pictures (as .npy) and the fonts.

    Raises `UserError` for a package that is missing or is another one.
    """
    for entry in json.loads(PACKAGES.read_text("utf-8")):
        target = work / "unpacked" / entry["package"]
        if target.exists():
            continue
        found = sorted(debs.glob(f"{entry['package']}_*.deb"))
        digest = hashlib.sha256(found[0].read_bytes()).hexdigest() if found else "no file"
        if digest != entry["sha256"]:
            raise UserError(
                f"{debs} lacks {entry['package']} {entry['version']} (SHA-256 found: {digest}).",
                f"In that folder: apt-get download {entry['package']}={entry['version']}",
            )
        with atomic_folder(target) as temporary:
            subprocess.run(["dpkg-deb", "-x", found[0], temporary], check=True)
    pictures = work / "pictures"
    if not pictures.exists():
        with atomic_folder(pictures) as temporary:
            for index, image in enumerate(track(_pictures(work), "pictures")):
                np.save(temporary / f"{index:04d}.npy", image)
    fonts = sorted((work / "unpacked").glob("fonts-*/usr/share/fonts/**/*.?tf"))
    # Some packages link to fonts of others.
    return sorted(pictures.glob("*.npy")), [font for font in fonts if font.is_file()]


def _pictures(work: Path) -> Iterator[Rgb]:
    for entry in json.loads(PACKAGES.read_text("utf-8")):
        if entry["package"].startswith("fonts-"):
            continue
        for path in sorted((work / "unpacked" / entry["package"]).glob(entry["files"])):
            if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp") and not path.is_symlink():
                image = _read(path)
                if image is not None:
                    yield image


def _read(path: Path) -> Rgb | None:
    with Image.open(path) as opened:
        if min(opened.size) < LEAST_SIDE:
            return None
        opened.draft("RGB", (LONGEST, LONGEST))
        opened.thumbnail((LONGEST, LONGEST))
        rgba = opened.convert("RGBA")
    picture = Image.new("RGB", rgba.size, (128, 128, 128))
    picture.paste(rgba, mask=rgba.getchannel("A"))
    image = np.asarray(picture)
    return image if min(picture.size) >= LEAST_SIDE and image.mean(axis=2).std() > 15 else None


@lru_cache(maxsize=1024)
def load(path: Path) -> Rgb:
    """One picture, (h, w, 3) uint8, mapped from the disk."""
    return np.load(path, mmap_mode="r")
