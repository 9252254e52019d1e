"""Embedded colour profiles: pixels of Display P3, Adobe RGB, CMYK or grey as sRGB, by littlecms.

The conversion is that of the profile's perceptual table where it has one, else of its curves and
matrix. A profile that cannot be used changes nothing, as if it were not there: one of other colours
than the image's, a broken one, one above `MAX_BYTES`, and one of the multi-process elements of
ICC.1:2010, whose number nothing bounds. Not read are colours that stand elsewhere than in an ICC
profile (the chunks gAMA, cHRM and cICP of PNG, EXIF), and profiles in GIF and BMP.
"""

import hashlib
import io
import struct
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

MAX_BYTES = 4 << 20
"""Of a profile. Those of printing have up to about 3 MB, those of cameras and screens some kB."""
REMEMBERED = 32
"""Conversions that are kept, up to about 1 MB each."""
NEAR = 2
"""Levels by which a profile may differ from sRGB and is sRGB: there are many roundings of it."""

_MOST_TAGS = 100
_CLASSES = (b"mntr", b"prtr", b"scnr", b"spac")
_ELEMENTS = (b"D2B0", b"D2B1", b"D2B2", b"D2B3")
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_GREY = ("1", "L", "LA")
_COLOURED = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr")


@dataclass(frozen=True)
class Conversion:
    """From the colours of one profile to sRGB; threads may share it."""

    mode: str
    """In which pixels go through the profile: RGB, CMYK, L or I;16."""
    transform: ImageCms.ImageCmsTransform
    table: np.ndarray | None
    """(256 or 65536, 3) uint8 of greys, for which littlecms would interpolate between few."""

    def apply(self, image: Image.Image) -> Image.Image:
        """A loaded image as RGB, or as RGBA where it has transparency, which stays as it is.

        An image of mode RGB may be changed in place.
        """
        if image.mode.startswith("I;16"):
            values = np.asarray(image)
            if self.table is not None:
                return Image.fromarray(self.table[values])
            image = Image.fromarray((values / 257.0 + 0.5).astype(np.uint8))
        alpha = None
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            alpha = image.convert("RGBA").getchannel("A")
        if image.mode != self.mode or image.readonly:
            image = image.convert(self.mode)
        if self.table is not None:
            image = Image.fromarray(self.table[np.asarray(image)])
        elif self.mode == "RGB":
            image = self.transform.apply_in_place(image)
        else:
            image = self.transform.apply(image)
        if alpha is not None:
            image.putalpha(alpha)
        return image


def conversion(image: Image.Image) -> Conversion | None:
    """What makes the image sRGB; None where it is so already, or has no profile that can be used.

    The image need not be loaded. 32-bit and floating-point greys are left as they are.
    """
    profile = image.info.get("icc_profile")
    if not profile:
        return None
    mode = _mode(profile, image.mode)
    return None if mode is None else _conversions.get(profile, mode)


def _mode(profile: object, mode: str) -> str | None:
    """The mode in which pixels of `mode` go through the profile; None where they cannot."""
    if not isinstance(profile, bytes) or not 132 <= len(profile) <= MAX_BYTES:
        return None
    (count,) = struct.unpack_from(">I", profile, 128)
    names = {profile[at : at + 4] for at in range(132, 132 + 12 * min(count, _MOST_TAGS), 12)}
    if profile[36:40] != b"acsp" or profile[12:16] not in _CLASSES or count > _MOST_TAGS:
        return None
    if not names.isdisjoint(_ELEMENTS):
        return None
    space = profile[16:20]
    if space == b"RGB " and (mode in _COLOURED or mode.startswith("I;16")):
        return "RGB"
    if space == b"GRAY" and mode.startswith("I;16"):
        return "I;16"
    if space == b"GRAY" and mode in _GREY:
        return "L"
    return "CMYK" if space == b"CMYK" and mode == "CMYK" else None


class _Conversions:
    """Conversions by the SHA-256 of their profile: a collection has few, and one takes 2-50 ms."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[bytes, str], Conversion | None] = OrderedDict()

    def get(self, profile: bytes, mode: str) -> Conversion | None:
        key = (hashlib.sha256(profile).digest(), mode)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _made(profile, mode)
            self._kept.move_to_end(key)
            while len(self._kept) > REMEMBERED:
                self._kept.popitem(last=False)
            return self._kept[key]


_conversions = _Conversions()


def _made(profile: bytes, mode: str) -> Conversion | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        exact = ImageCms.Flags.NOOPTIMIZE if mode in ("L", "I;16") else ImageCms.Flags.NONE
        transform = ImageCms.ImageCmsTransform(source, _SRGB, mode, "RGB", flags=exact)
        if mode == "CMYK":
            return Conversion(mode, transform, None)
        given = _sample(mode)
        found = np.asarray(transform.apply(Image.fromarray(given)))[0]
    except Exception:  # a parser on hostile bytes; the image is shown without its profile
        return None
    levels = given[0] / 257.0 if mode == "I;16" else given[0].astype(float)
    if np.abs(found - levels.reshape(len(found), -1)).max() <= NEAR:
        return None
    return Conversion(mode, transform, None if mode == "RGB" else found)


def _sample(mode: str) -> np.ndarray:
    """A line of all greys; of mode RGB all neutral ones, and a lattice of colours."""
    if mode == "I;16":
        return np.arange(65536, dtype=np.uint16).reshape(1, -1)
    greys = np.arange(256, dtype=np.uint8).reshape(1, -1)
    if mode == "L":
        return greys
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    return np.concatenate([np.repeat(greys[..., None], 3, axis=2), lattice], axis=1)
