"""What a collector of the open web meets beside photos: faults, traps and closed doors."""

import gzip
import struct
import zlib
from collections.abc import Iterator, Sequence

from flows.demo_web.page import Page

ROBOTS = "User-agent: *\nDisallow: /members/\n"


def _bomb(side: int) -> bytes:
    """A PNG of some hundred bytes that claims `side` x `side` pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def _html(title: str) -> bytes:
    return f"<!doctype html><title>{title}</title><h1>{title}</h1>".encode()


def faults(photos: Sequence[Page]) -> Iterator[Page]:
    """Pages that must not end in the store, and three redirects that must; photos lend bodies."""
    body, kind = photos[0].body, photos[0].content_type
    yield Page("/robots.txt", ROBOTS.encode(), "text/plain", "robots")
    for number, photo in enumerate(photos[1:6]):
        yield Page(f"/members/{number}.jpg", photo.body, photo.content_type, "closed-by-robots")
    for number, status in enumerate((404, 404, 404, 410, 403, 500)):
        path = f"/gone/{number}.jpg"
        yield Page(path, _html(str(status)), "text/html", "dead", status=status)
    for number, photo in enumerate(photos[6:9]):
        to = (("Location", photo.path),)
        yield Page(f"/moved/{number}.jpg", b"", "text/html", "moved", status=301, headers=to)
    for number, target in enumerate(
        ("http://10.11.12.13/secret.jpg", "http://169.254.169.254/latest/meta-data/")
    ):
        to = (("Location", target),)
        path = f"/tracking/{number}.jpg"
        yield Page(path, b"", "text/html", "to-private-address", status=302, headers=to)
    loop = (("Location", "/round/0.jpg"),)
    yield Page("/round/0.jpg", b"", "text/html", "redirect-loop", status=302, headers=loop)
    for number in range(4):
        page = _html("Please sign in to see this photo")
        yield Page(f"/login/{number}.jpg", page, "image/jpeg", "html-as-image")
    for number, photo in enumerate(photos[9:13]):
        half = photo.body[: len(photo.body) // 2]
        yield Page(f"/cut/{number}.jpg", half, photo.content_type, "truncated")
    yield Page("/cut/early.jpg", body[:500], kind, "cut-off", claimed_length=len(body))
    yield Page("/bombs/pixels.png", _bomb(60_000), "image/png", "bomb")
    squeezed = gzip.compress(bytes(200 * 2**20), 1, mtime=0)
    gz = (("Content-Encoding", "gzip"),)
    yield Page("/bombs/gzip.jpg", squeezed, "image/jpeg", "bomb", headers=gz)
    for number, photo in enumerate(photos[13:15]):
        noai = (("X-Robots-Tag", "noai, noimageai"),)
        path = f"/no-ai/{number}.jpg"
        yield Page(path, photo.body, photo.content_type, "opted-out", headers=noai)
    for number, photo in enumerate(photos[15:17]):
        path = f"/slow/{number}.jpg"
        yield Page(path, photo.body, photo.content_type, "slow", host="slow")
    for number in range(2):
        yield Page(f"/{number}.jpg", b"", kind, "dead", host="closed")
    for number, photo in enumerate(photos[17:19]):
        yield Page(f"/{number}.jpg", photo.body, photo.content_type, "robots-broken", host="broken")
    yield Page("/robots.txt", _html("500"), "text/html", "robots", status=500, host="broken")
