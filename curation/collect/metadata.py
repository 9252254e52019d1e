"""Encoded images without their metadata: pixels untouched, orientation and colour kept.

Where and when a photo was taken, by whom and with which device is in EXIF, XMP, IPTC and comments;
none of it may be stored. Encoding again would destroy the very compression that is collected, so
the container is cut instead: every part that the pixels and their colours do not need is dropped
(an allow-list, so unknown parts go too), and what follows the end of the image as well. Of EXIF,
the orientation alone is written back. A TIFF is not cut: `examine` refuses one whose first
directory holds such tags (those of further pages, which `keep_animated` lets through, are not
looked at). An image that carries nothing to drop stays as it came.
"""

import re
import struct
import zlib
from collections.abc import Iterator

_EXIF_HEADER = b"Exif\x00\x00"
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_PNG_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP sBIT bKGD pHYs cICP acTL fcTL fdAT".split()
)
_WEBP_KEPT = frozenset((b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_GIF_APPLICATIONS = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")


class Unstrippable(ValueError):
    """The container is broken, or its metadata cannot be cut out without encoding again."""


def _minimal_exif(orientation: int) -> bytes:
    """A TIFF structure with the tag Orientation (274, SHORT) alone."""
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 274, 3, 1, orientation, 0, 0)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and whole bytes of each segment; of a scan, the header with its coded data."""
    position = 2
    while (found := _JPEG_MARKER.search(data, position)) is not None:
        # libjpeg skips fill and stray bytes between segments, and so does this search.
        start, marker = found.start(), found.group(1)[0]
        if marker == 0xD9:
            yield marker, data[start : start + 2]
            return
        if marker == 0x01:
            position = start + 2
            continue
        end = start + 2 + struct.unpack_from(">H", data, start + 2)[0]
        if end > len(data):
            raise Unstrippable("a JPEG segment ends after the file")
        if marker == 0xDA:
            following = _JPEG_MARKER.search(data, end)
            end = following.start() if following else len(data)
        yield marker, data[start:end]
        position = end


def _keeps_jpeg(marker: int, segment: bytes) -> bool:
    if marker == 0xE0:
        return segment[4:9] == b"JFIF\x00"
    if marker == 0xE2:
        return segment[4:16] == b"ICC_PROFILE\x00"
    if marker == 0xEE:
        return segment[4:9] == b"Adobe"  # says how the colours are to be read
    return marker != 0xFE and not 0xE1 <= marker <= 0xEF


def _strip_jpeg(data: bytes, orientation: int) -> bytes:
    parts = [data[:2]]
    if orientation != 1:
        content = _EXIF_HEADER + _minimal_exif(orientation)
        parts.append(b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content)
    parts += [part for marker, part in _jpeg_segments(data) if _keeps_jpeg(marker, part)]
    return b"".join(parts)


def _strip_png(data: bytes, orientation: int) -> bytes:
    parts, position, exif = [data[:8]], 8, b""
    if orientation != 1:
        content = b"eXIf" + _minimal_exif(orientation)
        exif = struct.pack(">I", len(content) - 4) + content
        exif += struct.pack(">I", zlib.crc32(content))
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        name = data[position + 4 : position + 8]
        end = position + 12 + length
        if name == b"IDAT" and exif:
            parts.append(exif)
            exif = b""
        if name in _PNG_KEPT:
            parts.append(data[position:end])
        position = end
        if name == b"IEND":
            break
    return b"".join(parts)


def _strip_webp(data: bytes, orientation: int) -> bytes:
    end_of_file = min(len(data), 8 + struct.unpack_from("<I", data, 4)[0])
    chunks: list[bytes] = []
    position, extended = 12, False
    while position + 8 <= end_of_file:
        name = data[position : position + 4]
        (length,) = struct.unpack_from("<I", data, position + 4)
        end = position + 8 + length + (length & 1)
        if name in _WEBP_KEPT:
            chunk = data[position:end]
            if name == b"VP8X":
                extended = True
                flags = (chunk[8] & ~0x0C) | (0x08 if orientation != 1 else 0)
                chunk = chunk[:8] + bytes([flags]) + chunk[9:]
            chunks.append(chunk)
        position = end
    if orientation != 1 and extended:
        content = _minimal_exif(orientation)
        chunks.append(b"EXIF" + struct.pack("<I", len(content)) + content)
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _gif_blocks_end(data: bytes, position: int) -> int:
    while data[position]:
        position += data[position] + 1
    return position + 1


def _strip_gif(data: bytes) -> bytes:
    flags = data[10]
    position = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    parts = [data[:position]]
    while position < len(data):
        start = position
        if data[start] == 0x3B:
            parts.append(b"\x3b")
            break
        if data[start] == 0x21:
            position = _gif_blocks_end(data, start + 2)
            label, application = data[start + 1], data[start + 3 : start + 14]
            if label == 0xF9 or (label == 0xFF and application in _GIF_APPLICATIONS):
                parts.append(data[start:position])
        elif data[start] == 0x2C:
            local = data[start + 9]
            table = 3 << ((local & 7) + 1) if local & 0x80 else 0
            position = _gif_blocks_end(data, start + 11 + table)
            parts.append(data[start:position])
        else:
            raise Unstrippable("an unknown GIF block")
    return b"".join(parts)


def strip(data: bytes, format: str, orientation: int = 1) -> bytes:
    """`data` without metadata; `orientation` is the EXIF orientation (1..8) to keep.

    Raises `Unstrippable` for a broken container. BMP holds no metadata and is returned as it is,
    TIFF is not cut (see `examine`).
    """
    try:
        if format in ("JPEG", "MPO"):
            return _strip_jpeg(data, orientation)
        if format == "PNG":
            return _strip_png(data, orientation)
        if format == "WEBP":
            return _strip_webp(data, orientation)
        if format == "GIF":
            return _strip_gif(data)
    except (struct.error, IndexError) as error:
        raise Unstrippable(f"the {format} ends too early") from error
    return data
