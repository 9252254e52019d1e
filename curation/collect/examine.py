"""From hostile bytes to an image that may be stored: what runs in the decoding processes."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from catalog import images
from catalog.errors import ImageRefused
from catalog.settings.collect import Collect
from curation.collect import metadata
from curation.collect.opt_outs import image_opt_out
from curation.fingerprint import DECODE_SIDE, phash

_ORIENTATION, _ARTIST, _COPYRIGHT = 274, 315, 33432
_PERSONAL_TIFF_TAGS = frozenset(
    # DocumentName, ImageDescription, Make, Model, PageName, DateTime, Artist, HostComputer, XMP,
    # Copyright, IPTC, Photoshop, EXIF, GPS, Interoperability, and of Windows: title, comment,
    # author, keywords, subject
    {269, 270, 271, 272, 285, 306, 315, 316, 700, 33432, 33723, 34377, 34665, 34853, 40965}
    | {40091, 40092, 40093, 40094, 40095}
)


@dataclass(frozen=True)
class Examined:
    """An image that may be stored: `data` are the bytes to store, None when they are those given.

    `creator` is what the image's own EXIF says of its maker, kept as provenance.
    """

    image_id: str
    data: bytes | None
    header: images.Header
    creator: str | None


def _read_exif(data: bytes) -> tuple[int, str | None, frozenset[int]]:
    """Orientation 1..8, the maker, and all tags of the first directory."""
    try:
        with Image.open(io.BytesIO(data), formats=images.FORMATS) as image:
            exif = image.getexif()
            orientation = exif.get(_ORIENTATION, 1)
            maker = exif.get(_ARTIST) or exif.get(_COPYRIGHT)
            tags = frozenset(exif) | frozenset(getattr(image, "tag_v2", {}))
    except Exception:  # broken EXIF is no fault of the pixels
        return 1, None, frozenset()
    if isinstance(maker, bytes):
        maker = maker.decode("utf-8", "replace")
    text = " ".join(str(maker).replace("\x00", " ").split())[:200] if maker else None
    known = isinstance(orientation, int) and 1 <= orientation <= 8
    return (orientation if known else 1), text or None, tags


def _check_kept(header: images.Header, settings: Collect) -> None:
    format = "JPEG" if header.format == "MPO" else header.format
    if format not in settings.formats:
        raise ImageRefused("format-not-kept", f"The image is a {format}.")
    short, long = sorted((header.width, header.height))
    if short < settings.min_side:
        raise ImageRefused("too-small", f"The image is {header.width} x {header.height}.")
    if long > settings.max_aspect * short:
        raise ImageRefused("aspect-ratio", f"The image is {header.width} x {header.height}.")
    if settings.min_channels > 1 and header.mode[:1] in ("1", "L", "I", "F"):
        raise ImageRefused("grey", f"The image has one channel (mode {header.mode}).")


def perceptual_hash(data: bytes) -> bytes:
    """The pHash of `schemas.HASHES`, 32 bytes. Raises `ImageRefused`."""
    return phash(images.decode_luma(data, DECODE_SIDE))


def hamming(hashes: np.ndarray, key: bytes) -> np.ndarray:
    """Differing bits between each row of `hashes` (n, 32) uint8 and `key` (32 bytes)."""
    return np.bitwise_count(hashes ^ np.frombuffer(key, np.uint8)).sum(axis=1)


def clean(data: bytes, settings: Collect) -> tuple[bytes, images.Header, str | None]:
    """Check the header and take the metadata out; return bytes, their header, and the maker.

    Raises `ImageRefused` ("not-an-image", "too-many-pixels", "broken-image", "opt-out",
    "personal-metadata" and the filters' names).
    """
    header = images.read_header(data, settings.max_pixels)
    _check_kept(header, settings)
    if "noai" in settings.opt_outs and image_opt_out(data):
        raise ImageRefused("opt-out", "The image's metadata prohibits data mining.")
    orientation, maker, tags = _read_exif(data)
    if header.format == "TIFF" and tags & _PERSONAL_TIFF_TAGS:
        # The tags point anywhere into the file, so they cannot be cut out without a rewrite.
        raise ImageRefused(
            "personal-metadata", "The TIFF holds EXIF, GPS, XMP, a device, a name or a text."
        )
    try:
        cut = metadata.strip(data, header.format, orientation)
    except metadata.Unstrippable as error:
        raise ImageRefused("broken-image", f"The container is broken: {error}.") from error
    if cut == data:
        return data, header, maker
    return cut, images.read_header(cut, settings.max_pixels), maker


def examine(data: bytes, settings: Collect, blocked: Sequence[bytes] = ()) -> Examined:
    """Clean, filter and decode `data`; refuse what is on the blocklist `blocked` of pHashes.

    What is decoded is what will be stored. Raises `ImageRefused` as `clean` does, and "animated",
    "blocked", or "broken-image" for pixels that cannot be decoded.
    """
    cut, header, maker = clean(data, settings)
    if header.frames > 1 and not settings.keep_animated:
        raise ImageRefused("animated", f"The image has {header.frames} frames.")
    # Reads every byte of the pixels' code and so finds what is broken, but a JPEG's picture is
    # only computed at the size that is needed.
    luma = images.decode_luma(cut, DECODE_SIDE if blocked else 1, settings.max_pixels)
    if blocked:
        hashes = np.frombuffer(b"".join(blocked), np.uint8).reshape(-1, 32)
        if hamming(hashes, phash(luma)).min() <= settings.block_distance:
            raise ImageRefused("blocked", "The image looks like one that was taken down.")
    return Examined(images.image_id(cut), None if cut is data else cut, header, maker)
