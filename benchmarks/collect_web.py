"""A web server for the collection's measurements: many different JPEGs, served from memory.

Run as a process of its own by `serving(count)`, so that its work is not counted as the client's.
"""

import asyncio
import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

_SIDE = (640, 480)
_QUALITY = 90


def make_images(count: int) -> list[bytes]:
    """`count` different JPEGs of about 100 kB: one textured picture under different offsets."""
    rng = np.random.default_rng(0)
    base = Image.fromarray(rng.integers(0, 256, (120, 160, 3), dtype=np.uint8))
    field = np.asarray(base.resize((1280, 960), Image.Resampling.BICUBIC), dtype=np.int16)
    field += rng.normal(0, 9, field.shape).astype(np.int16)
    picture = np.clip(field, 0, 255).astype(np.uint8)
    images = []
    for _ in range(count):
        top, left = rng.integers(0, 480), rng.integers(0, 640)
        crop = np.ascontiguousarray(picture[top : top + _SIDE[1], left : left + _SIDE[0]])
        crop[:8, :8] = rng.integers(0, 256, (8, 8, 3))  # no two are the same
        buffer = io.BytesIO()
        Image.fromarray(crop).save(buffer, "JPEG", quality=_QUALITY)
        images.append(buffer.getvalue())
    return images


class _Protocol(asyncio.Protocol):
    """As little HTTP/1.1 as the clients need: GET /N.jpg and /count (of images), keep-alive."""

    served = 0

    def __init__(self, images: list[bytes]) -> None:
        self._images = images
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            name = head.split(b" ", 2)[1].strip(b"/").removesuffix(b".jpg")
            if name.isdigit() and int(name) < len(self._images):
                body = self._images[int(name)]
                _Protocol.served += 1
                kind = b"200 OK\r\nContent-Type: image/jpeg"
            elif name == b"count":
                body, kind = str(_Protocol.served).encode(), b"200 OK"
            else:
                body, kind = b"", b"404 Not Found"
            self._transport.write(
                b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(body)) + body
            )


async def _serve(count: int) -> None:
    images = make_images(count)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Protocol(images), "127.0.0.1", 0, backlog=512)
    size = sum(map(len, images))
    print(server.sockets[0].getsockname()[1], size, flush=True)
    await server.serve_forever()


@contextmanager
def serving(count: int) -> Iterator[tuple[str, int]]:
    """Yield the base URL and the bytes of all images together."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__)), str(count)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        port, size = process.stdout.readline().split()
        yield f"http://127.0.0.1:{port}", int(size)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
