"""The processes that decode: a crash or an endless loop there costs one image.

They are plain child processes that run `decoder_process` on a socket, not a pool of
`multiprocessing`: that would run the caller's main script in them once more, which fails (and with
most pools hangs) wherever the script starts a collection without a `__main__` guard. The event
loop writes to the sockets itself, so no thread stands between it and a decoder.
"""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from catalog import images
from catalog.errors import ImageRefused, UserError
from catalog.settings.collect import Collect
from curation.collect.decoder_process import FROM_DECODER, TO_DECODER
from curation.collect.examine import Examined

_START_SECONDS = 120.0
_AHEAD = 2
"""Images that a decoder has at a time, so that it does not wait for the event loop."""

_BUFFER = 2**20
"""Bytes that the system may hold on the way to a decoder; it allows less where it is set so."""

_CODE = (
    "import sys; sys.path[:] = sys.argv[2:]\n"
    "from curation.collect.decoder_process import main; main(int(sys.argv[1]))"
)
_TRIES = 2
"""Decoders that may die of an image. One may have been killed for another's sake (no memory)."""


@dataclass
class _Task:
    data: bytes
    future: "asyncio.Future[Examined]"
    tries: int = 0


def _cannot_start(why: str) -> UserError:
    return UserError(
        f"The processes that decode images do not start: {why}",
        f"They run {sys.executable or '(sys.executable is not set)'}; see that it is a Python "
        "that can import `curation`, and that the machine has memory and processes left. The "
        "same command then goes on where it was.",
    )


class _Decoder(asyncio.Protocol):
    """One process and the images that it has, in order."""

    def __init__(self, pool: "Decoders") -> None:
        self._pool = pool
        self._received = bytearray()
        self.tasks: deque[_Task] = deque()
        self.ready = asyncio.get_running_loop().create_future()

    async def start(self, greeting: bytes) -> None:
        """Raises `UserError` when the process cannot start."""
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        with theirs, tempfile.TemporaryFile() as said:
            try:
                self.process = subprocess.Popen(
                    [sys.executable, "-c", _CODE, str(theirs.fileno()), *sys.path],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                )
            except (OSError, ValueError) as error:
                ours.close()
                raise _cannot_start(f"{error}.") from error
            theirs.close()
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(lambda: self, sock=ours)
            self._transport: asyncio.Transport = transport
            self._transport.write(TO_DECODER.pack(len(greeting)) + greeting)
            try:
                async with asyncio.timeout(_START_SECONDS):
                    await asyncio.shield(self.ready)
            except TimeoutError:
                self.stop()
                raise _cannot_start(f"no answer after {_START_SECONDS:.0f} s.") from None
            except ConnectionError:
                said.seek(0)
                last = said.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
                code = self.process.wait()
                raise _cannot_start(f"exit code {code}. {last}".strip()) from None

    def send(self, task: _Task) -> None:
        """Hand an image in."""
        self.tasks.append(task)
        self._transport.writelines([TO_DECODER.pack(len(task.data)), task.data])

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.ready.cancel()
        self._transport.abort()
        self.process.kill()
        self.process.wait()

    def data_received(self, data: bytes) -> None:
        """Part of the decoder's answers."""
        self._received += data
        while len(self._received) >= FROM_DECODER.size:
            text, size = FROM_DECODER.unpack_from(self._received)
            start = FROM_DECODER.size + text
            if len(self._received) < start + size:
                return
            said = json.loads(self._received[FROM_DECODER.size : start])
            stored = bytes(self._received[start : start + size])
            del self._received[: start + size]
            self._answered(said, stored)

    def _answered(self, said: dict[str, Any], stored: bytes) -> None:
        if "ready" in said:
            self.ready.set_result(None)
            return
        future = self.tasks.popleft().future
        if not future.done():
            if "refused" in said:
                future.set_exception(ImageRefused(*said["refused"]))
            else:
                header = images.Header(**said["header"])
                data = stored if said["cut"] else None
                future.set_result(Examined(said["image_id"], data, header, said["creator"]))
        self._pool.feed()

    def connection_lost(self, error: Exception | None) -> None:
        """The process is gone."""
        if not self.ready.done():
            self.ready.set_exception(ConnectionError())
        else:
            self._pool.lost(self)


class Decoders:
    """`examine` in other processes. Use as an async context.

    Raises `UserError` on entry, and from `examine`, when a process cannot start.
    """

    def __init__(self, settings: Collect, blocked: tuple[bytes, ...]) -> None:
        given = {
            "settings": settings.model_dump(mode="json"),
            "blocked": [key.hex() for key in blocked],
        }
        self._greeting = json.dumps(given).encode()
        self._timeout = settings.decode_timeout
        self._count = settings.decoders
        self._room = asyncio.Semaphore(4 * settings.decoders)
        self._decoders: list[_Decoder] = []
        self._waiting: deque[_Task] = deque()
        self._replacing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._broken: UserError | None = None

    async def __aenter__(self) -> "Decoders":
        try:
            await asyncio.gather(*(self._start() for _ in range(self._count)))
        except BaseException:
            self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._replacing:
            task.cancel()
        await asyncio.gather(*self._replacing, return_exceptions=True)
        self._stop()

    def _stop(self) -> None:
        self._closed = True
        for decoder in self._decoders:
            decoder.stop()

    async def _start(self) -> None:
        decoder = _Decoder(self)
        try:
            await decoder.start(self._greeting)
        except asyncio.CancelledError:
            with contextlib.suppress(AttributeError):  # cancelled before it had a process
                decoder.stop()
            raise
        self._decoders.append(decoder)
        self.feed()

    async def room(self) -> None:
        """Wait until an image may be handed in; to be followed by `examine`."""
        await self._room.acquire()

    async def examine(self, data: bytes) -> Examined:
        """Raises `ImageRefused`, also "decode-timeout" and "decoder-crashed"."""
        task = _Task(data, asyncio.get_running_loop().create_future())
        try:
            if self._broken is not None:
                raise self._broken
            self._waiting.append(task)
            self.feed()
            return await task.future
        finally:
            self._room.release()

    def feed(self) -> None:
        """Give waiting images to the decoders that have the fewest."""
        while self._waiting and self._decoders:
            decoder = min(self._decoders, key=lambda found: len(found.tasks))
            if len(decoder.tasks) >= _AHEAD:
                return
            decoder.send(self._waiting.popleft())

    def lost(self, decoder: _Decoder) -> None:
        """A decoder died, perhaps of the image that it was at; the others go on."""
        if self._closed:
            return
        self._decoders.remove(decoder)
        task = asyncio.get_running_loop().create_task(self._replace(decoder))
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    async def _replace(self, decoder: _Decoder) -> None:
        decoder.process.kill()  # it has closed its socket, so it is of no more use
        code = await asyncio.to_thread(decoder.process.wait)
        tasks = list(decoder.tasks)
        if tasks:
            tasks[0].tries += 1
            if code == -signal.SIGPROF or tasks[0].tries >= _TRIES:
                self._fail(tasks.pop(0), self._reason(code))
        self._waiting.extendleft(reversed(tasks))
        try:
            await self._start()
        except UserError as error:
            self._broken = error
            while self._waiting:
                self._fail(self._waiting.popleft(), error)

    def _fail(self, task: _Task, error: Exception) -> None:
        if not task.future.done():
            task.future.set_exception(error)

    def _reason(self, code: int) -> ImageRefused:
        if code == -signal.SIGPROF:
            return ImageRefused(
                "decode-timeout", f"Decoding took more than {self._timeout:g} s of a processor."
            )
        return ImageRefused("decoder-crashed", f"A decoder died of the image (exit code {code}).")
