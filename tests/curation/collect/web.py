"""A small real web on 127.0.0.1 for the collector's tests."""

import asyncio
import io
import ssl
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import numpy as np
from aiohttp import web
from PIL import Image

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def photo(seed: int, kind: str = "JPEG", size: tuple[int, int] = (160, 120), **options) -> bytes:
    """An encoded image that differs from that of any other seed."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_bomb(side: int) -> bytes:
    """A PNG of a few bytes that claims side x side pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + crc

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


class Web:
    """Routes by path; counts the requests by path and keeps their headers."""

    def __init__(self) -> None:
        self.routes: dict[str, Handler] = {}
        self.seen: Counter[str] = Counter()
        self.headers: dict[str, dict[str, str]] = {}
        self.in_flight = 0
        self.most_in_flight = 0
        self.port = 0

    @property
    def base(self) -> str:
        """http://127.0.0.1:PORT"""
        return f"http://127.0.0.1:{self.port}"

    def serve(self, path: str, body: bytes = b"", status: int = 200, **headers: str) -> str:
        """Answer `path` with fixed bytes; return its URL. Header names have _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}

        async def handler(_: web.Request) -> web.StreamResponse:
            return web.Response(body=body, status=status, headers=named)

        self.routes[path] = handler
        return self.base + path

    def route(self, path: str, handler: Handler) -> str:
        """Answer `path` by a coroutine; return its URL."""
        self.routes[path] = handler
        return self.base + path

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path_qs if request.path_qs in self.routes else request.path
        self.seen[path] += 1
        self.headers[path] = dict(request.headers)
        handler = self.routes.get(path)
        if handler is None:
            return web.Response(status=404)
        if path != "/robots.txt":
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await handler(request)
        finally:
            if path != "/robots.txt":
                self.in_flight -= 1


@contextmanager
def running_web(addresses: int = 1, tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """A `Web` that answers until the context ends, on 127.0.0.1 and the next `addresses` - 1."""
    small_web = Web()
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        runner = web.ServerRunner(web.Server(small_web._answer), shutdown_timeout=0.1)
        await runner.setup()
        for last in range(1, addresses + 1):
            await web.TCPSite(runner, f"127.0.0.{last}", small_web.port, ssl_context=tls).start()
            small_web.port = runner.addresses[0][1]
        ready.set()
        await stop.wait()
        await runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}  # handlers that never answer
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield small_web
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def serve_photos(web: Web, count: int, start: int = 0) -> list[str]:
    """URLs of so many different photos, on `web` from now on."""
    return [web.serve(f"/{n}.jpg", photo(n)) for n in range(start, start + count)]
