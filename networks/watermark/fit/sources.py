"""The photos and fonts, from the Debian packages that packages.json names."""

import io
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from catalog.files import atomic_folder
from catalog.images import Rgb
from catalog.progress import track
from networks.fitting.packages import unpack

PACKAGES = Path(__file__).with_name("packages.json")
LONGEST = 1200
"""Pixels of the longer side at which photos are kept."""
LEAST_SIDE = 250
HELD_OUT_EVERY = 8
"""Every eighth picture and font is measured on and never trained on."""
_WEBP = re.compile(rb"RIFF(....)WEBPVP8", re.DOTALL)


def prepare(debs: Path, work: Path) -> tuple[list[Path], list[Path]]:
    """Unpack the packages in `debs` below `work`, once; the pictures (as .npy) and the fonts.

    Raises `UserError` for a package that is missing or is another one.
    """
    unpack(debs, work / "unpacked", PACKAGES)
    for entry in track(json.loads(PACKAGES.read_text("utf-8")), "pictures"):
        name = entry["package"]
        if not name.startswith("fonts-") and not (work / "pictures" / name).exists():
            with atomic_folder(work / "pictures" / name) as temporary:
                for index, image in enumerate(_pictures(work / "unpacked" / name, entry["files"])):
                    np.save(temporary / f"{index:04d}.npy", image)
    fonts = sorted((work / "unpacked").glob("fonts-*/usr/share/fonts/**/*.?tf"))
    # Some packages link to fonts of others.
    return sorted((work / "pictures").glob("*/*.npy")), [font for font in fonts if font.is_file()]


def shares(pictures: list[Path]) -> np.ndarray:
    """(n,) how often each picture is drawn, in sum 1, by the packages' `share`.

    Photos are drawn more often than textures of games and cut-out things.
    """
    entries = json.loads(PACKAGES.read_text("utf-8"))
    share = {entry["package"]: entry.get("share", 1.0) for entry in entries}
    weight = np.array([share[path.parent.name] for path in pictures])
    return weight / weight.sum()


def _pictures(folder: Path, pattern: str) -> Iterator[Rgb]:
    for path in sorted(folder.glob(pattern)):
        if path.is_symlink():
            continue
        if path.suffix == ".rcc":
            contents = _inside(path.read_bytes())
        elif path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"):
            contents = iter([path.read_bytes()])
        else:
            continue
        for content in contents:
            image = _read(content)
            if image is not None:
                yield image


def _inside(resources: bytes) -> Iterator[bytes]:
    """WebP files in a file of Qt resources, which holds them as they are."""
    for found in _WEBP.finditer(resources):
        size = int.from_bytes(found[1], "little") + 8
        yield resources[found.start() : found.start() + size]


def _read(content: bytes) -> Rgb | None:
    with Image.open(io.BytesIO(content)) as opened:
        if min(opened.size) < LEAST_SIDE:
            return None
        opened.draft("RGB", (LONGEST, LONGEST))
        opened.thumbnail((LONGEST, LONGEST))
        rgba = opened.convert("RGBA")
    picture = Image.new("RGB", rgba.size, (128, 128, 128))
    picture.paste(rgba, mask=rgba.getchannel("A"))
    image = np.asarray(picture)
    return image if min(picture.size) >= LEAST_SIDE and image.mean(axis=2).std() > 15 else None


@lru_cache(maxsize=2048)
def load(path: Path) -> Rgb:
    """One picture, (h, w, 3) uint8, mapped from the disk."""
    return np.load(path, mmap_mode="r")
