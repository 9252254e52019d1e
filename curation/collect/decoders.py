"""The processes that decode: a crash or an endless loop there costs one image."""

import asyncio
import multiprocessing
from types import TracebackType

from pebble import ProcessExpired, ProcessPool

from catalog.errors import ImageRefused
from catalog.settings.collect import Collect
from curation.collect.examine import Examined, examine_in_worker, start_worker


class Decoders:
    """`examine` in other processes. Use as a context."""

    def __init__(self, settings: Collect, blocked: tuple[bytes, ...]) -> None:
        self._timeout = settings.decode_timeout
        self._room = asyncio.Semaphore(4 * settings.decoders)
        self._pool = ProcessPool(
            max_workers=settings.decoders,
            initializer=start_worker,
            initargs=(settings.model_dump(), blocked),
            # A forked child would share sockets, locks and threads of this process.
            context=multiprocessing.get_context("spawn"),
        )

    def __enter__(self) -> "Decoders":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._pool.close()
        else:
            self._pool.stop()
        self._pool.join()

    async def room(self) -> None:
        """Wait until an image may be handed in; to be followed by `examine`."""
        await self._room.acquire()

    async def examine(self, data: bytes) -> Examined:
        """Raises `ImageRefused`, also "decode-timeout" and "decoder-crashed"."""
        try:
            task = self._pool.schedule(examine_in_worker, args=[data], timeout=self._timeout)
            return await asyncio.wrap_future(task)
        except TimeoutError as error:
            raise ImageRefused(
                "decode-timeout", f"Decoding took more than {self._timeout:g} s."
            ) from error
        except ProcessExpired as error:
            raise ImageRefused(
                "decoder-crashed", f"The decoder died of the image (exit code {error.exitcode})."
            ) from error
        except ImageRefused:
            raise
        except Exception as error:  # such as MemoryError: it costs this image, not the run
            raise ImageRefused("decoder-crashed", f"Decoding failed: {error!r}.") from error
        finally:
            self._room.release()
