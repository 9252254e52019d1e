"""Reading the body of an answer: decompressed, bounded, by bytes of the budget as they come."""

import asyncio
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp

from curation.collect.budget import ByteBudget, Share
from curation.collect.outcome import FetchError

_CHUNK = 64 * 1024
_STEP = 256 * 1024
"""Bytes that a body takes of the budget at a time."""

_MEMBERS = 10_000
"""Members of one gzip. zlib copies what follows each, so that many empty ones would cost time."""


class Inflate:
    """A gzip, whose members may be several (RFC 1952, 2.2), or zlib stream; raises `FetchError`."""

    def __init__(self, encoding: str) -> None:
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise FetchError(
                "content-encoding", f"The body is encoded as {encoding[:40]!r}, unasked."
            )
        self._encoding = encoding
        self._members = 0
        self.ended = False
        """Whether what follows is no part of it."""
        self._begin()

    def _begin(self) -> None:
        self._members += 1
        if self._members > _MEMBERS:
            raise FetchError("content-encoding", f"The gzip has more than {_MEMBERS} members.")
        bits = zlib.MAX_WBITS | (0 if self._encoding == "deflate" else 16)
        self._member: Any = zlib.decompressobj(bits)

    @property
    def whole(self) -> bool:
        """Whether it may end here."""
        return bool(self._member.eof)

    def feed(self, data: bytes, most: int) -> tuple[bytes, bytes]:
        """At most `most` bytes that come out, and what of `data` is to be given again."""
        if self._member.eof and data:
            if self._encoding == "deflate" or not data.startswith(b"\x1f"):
                self.ended = True
                return b"", b""
            self._begin()
        try:
            made = self._member.decompress(data, most)
        except zlib.error as error:
            raise FetchError("content-encoding", f"The {self._encoding} is broken.") from error
        member = self._member
        return made, member.unused_data if member.eof else member.unconsumed_tail


class BodyReader:
    """Reads one body of at most `limit` bytes, both as sent and decompressed.

    A longer one is an error ("too-large"), or is cut there. Time spent waiting for the budget,
    which is not the server's fault, is put off from the deadline.
    """

    def __init__(
        self, budget: ByteBudget, share: Share, deadline: asyncio.Timeout, limit: int, cut: bool
    ) -> None:
        self._budget = budget
        self._share = share
        self._deadline = deadline
        self._limit = limit
        self._cut = cut
        self._parts: list[bytes] = []
        self._held = 0

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body. Raises `FetchError` and what aiohttp raises."""
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        inflate = Inflate(encoding) if encoding not in ("", "identity") else None
        sent = 0
        async for chunk in response.content.iter_chunked(_CHUNK):
            sent += len(chunk)
            if inflate is None:
                await self._add(chunk)
            else:
                await self._add_inflated(inflate, chunk)
            if max(sent, self._held) > self._limit:
                if self._cut:
                    break
                what = "decompresses to" if self._held > self._limit else "is"
                raise FetchError(
                    "too-large",
                    f"The body {what} more than {self._limit} bytes.",
                    status=response.status,
                )
            if inflate is not None and inflate.ended:
                break  # what follows may have no end
        if inflate is not None and not inflate.whole and not self._cut:
            raise FetchError("broken-connection", "The compressed body ends too early.", True)
        return b"".join(self._parts)[: self._limit]

    async def _add_inflated(self, inflate: Inflate, data: bytes) -> None:
        full = False  # zlib may hold back bytes although it has read all
        while (data or full) and not inflate.ended and self._held <= self._limit:
            most = min(_CHUNK, self._limit + 1 - self._held)
            made, data = inflate.feed(data, most)
            full = len(made) == most
            await self._add(made)

    @contextmanager
    def _clock_stopped(self) -> Iterator[None]:
        if self._deadline.expired():  # the next wait for the server ends by it
            yield
            return
        loop = asyncio.get_running_loop()
        left = (self._deadline.when() or 0.0) - loop.time()
        self._deadline.reschedule(None)
        yield
        self._deadline.reschedule(loop.time() + left)

    async def _add(self, part: bytes) -> None:
        share = self._share
        missing = min(self._held + len(part), share.most) - share.held
        if missing > 0:
            with self._clock_stopped():
                await self._budget.grow(share, min(max(missing, _STEP), share.most - share.held))
        self._parts.append(part)
        self._held += len(part)
