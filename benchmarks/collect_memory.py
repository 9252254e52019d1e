"""Memory of `collect` by the number of URLs, and the most bytes in flight against their bound.

    python benchmarks/collect_memory.py --urls 10000 --urls 100000

A local server answers with images of 1 to 6 kB that are all different; every fiftieth has about
800 kB, comes without a length and drips for 0.2 s, so that many bodies want memory at one time and
the bound (4 MiB here) is reached. Memory is the peak of the proportional set size (PSS) of the
collector and its decoders, sampled every 0.1 s, and that of the collector alone.
"""

import argparse
import asyncio
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

ROOT = Path(__file__).parents[1]
MAX_BYTES = 2**20
IN_FLIGHT = 4 * 2**20
LARGE_EVERY = 50

CLIENT = """
import json, sys
from pathlib import Path
from catalog.layout import Layout
from catalog.settings.collect import Collect
from curation.collect.run import collect
from curation.collect.sources.url_list import UrlList
settings = Collect.model_validate_json(sys.argv[1])
done = collect([UrlList(Path("urls.txt"), settings.columns)], Layout(Path.cwd()), settings)
print(json.dumps({"outcomes": done.outcomes, "in_flight": done.most_in_flight}))
"""


def _jpeg(side: int, quality: int, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), dtype=np.int16)
    pixels = np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _numbered(base: bytes, number: int) -> bytes:
    """The same picture with other high-frequency steps of quantisation: never the same bytes."""
    data = bytearray(base)
    table = data.index(b"\xff\xdb") + 5
    for place in (61, 62, 63):
        number, digit = divmod(number, 200)
        data[table + place] = 1 + digit
    return bytes(data)


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, small: list[bytes], large: bytes
) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            name = head.split(b" ", 2)[1].strip(b"/").removesuffix(b".jpg")
            if not name.isdigit():
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                continue
            number = int(name)
            if number % LARGE_EVERY:
                body = _numbered(small[number % len(small)], number)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                continue
            body = _numbered(large, number)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 256 * 1024):
                part = body[start : start + 256 * 1024]
                writer.write(b"%x\r\n" % len(part) + part + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
            writer.write(b"0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _serve() -> None:
    small = [_jpeg(64 + 8 * n, 70, n) for n in range(12)]
    large = _jpeg(1280, 92, 99)
    server = await asyncio.start_server(
        lambda reader, writer: _answer(reader, writer, small, large), "127.0.0.1", 0, backlog=512
    )
    sizes = f"{min(map(len, small))} {max(map(len, small))} {len(large)}"
    print(server.sockets[0].getsockname()[1], sizes, flush=True)
    await server.serve_forever()


@contextmanager
def _serving() -> Iterator[tuple[str, list[int]]]:
    command = [sys.executable, str(Path(__file__)), "--serve"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port, *sizes = map(int, process.stdout.readline().split())
        yield f"http://127.0.0.1:{port}", sizes
    finally:
        process.kill()
        process.wait()


class _Peak(threading.Thread):
    """Peak PSS of a process tree and of its root, bytes."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self.all = self.alone = 0

    def run(self) -> None:
        while True:
            try:
                alone = self._root.memory_full_info().pss
                children = self._root.children(recursive=True)
                total = alone + sum(child.memory_full_info().pss for child in children)
            except psutil.ZombieProcess:
                return
            except psutil.NoSuchProcess:
                if not self._root.is_running():
                    return
                continue  # a decoder that has just ended
            self.all, self.alone = max(self.all, total), max(self.alone, alone)
            time.sleep(0.1)


def measure(base: str, count: int) -> dict[str, float]:
    """Collect `count` URLs in a process of its own."""
    folder = Path(tempfile.mkdtemp(prefix="collect-memory-"))
    (folder / "urls.txt").write_text("\n".join(f"{base}/{n}.jpg" for n in range(count)))
    settings = {
        "allow_addresses": ["127.0.0.1/32"],
        "concurrency": 64,
        "host_concurrency": 64,
        "host_rate": 1e6,
        "max_bytes": MAX_BYTES,
        "bytes_in_flight": IN_FLIGHT,
    }
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, json.dumps(settings)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    peak = _Peak(process.pid)
    peak.start()
    output, _ = process.communicate()
    seconds = time.monotonic() - began
    peak.join(1)
    if process.returncode:
        sys.exit("the collection failed")
    said = json.loads(output)
    assert said["outcomes"] == {"stored": count}, said
    assert said["in_flight"] <= IN_FLIGHT, said
    shutil.rmtree(folder)
    return {"all": peak.all, "alone": peak.alone, "seconds": seconds, **said}


def main() -> None:
    """Measure each number of URLs and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--urls", type=int, action="append")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(_serve())
        return
    with _serving() as (base, sizes):
        print("images of {:,} to {:,} bytes, and of {:,}".format(*sizes))
        print("\n| URLs | peak MiB, all | the collector | most in flight, of 4 MiB | URLs/s |")
        print("|---|---|---|---|---|")
        for count in arguments.urls or (10_000, 100_000):
            found = measure(base, count)
            print(
                f"| {count:,} | {found['all'] / 2**20:.0f} | {found['alone'] / 2**20:.0f} | "
                f"{found['in_flight'] / 2**20:.2f} | {count / found['seconds']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
