"""Fetching everything that is pending in the journal."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from yarl import URL

from catalog.errors import ImageRefused, UserError
from catalog.settings.collect import Collect
from curation.collect.blocklist import Blocklist
from curation.collect.budget import ByteBudget
from curation.collect.decoders import Decoders
from curation.collect.examine import Examined
from curation.collect.fetch import Fetched, Fetcher
from curation.collect.hosts import LOCAL, Host, Hosts
from curation.collect.http import Http, host_of
from curation.collect.outcome import STORED, UNCHANGED, FetchError
from curation.collect.progress import Progress
from curation.collect.robots import Robots
from curation.collect.sources import LocalSource
from curation.collect.state import Pending, Result, State

T = TypeVar("T")
_BATCH = 64
"""Results written in one transaction."""


class Engine:
    """One run over a journal. The event loop fetches, processes decode, one thread writes."""

    def __init__(
        self,
        state: State,
        sources: Sequence[Any],
        settings: Collect,
        blocklist: Blocklist,
        progress: Progress,
    ) -> None:
        self._state = state
        self._sources = sources
        self._settings = settings
        self._blocklist = blocklist
        self._progress = progress
        self._writer = ThreadPoolExecutor(1, "journal")
        self._results: asyncio.Queue[tuple[Result, int] | None] = asyncio.Queue(_BATCH)
        self._budget = ByteBudget(settings.bytes_in_flight)
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._hosts = Hosts(settings, self._refill)

    async def run(self) -> None:
        """Fetch until nothing is pending. Raises `UserError` (a full disk)."""
        for host, _ in self._state.hosts():
            self._hosts.add(host)
        try:
            async with Http(self._settings, self._budget) as http:
                self._fetcher = Fetcher(
                    http, Robots(http, self._settings), self._settings, self._blocklist.blocks_url
                )
                decoders = Decoders(self._settings, self._blocklist.phashes)
                async with decoders as self._decoders, asyncio.TaskGroup() as group:
                    group.create_task(self._write())
                    async with asyncio.TaskGroup() as fetches:
                        await self._dispatch(fetches)
                    await self._results.put(None)
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        finally:
            self._writer.shutdown(wait=True)
            self._save_rest()

    async def _in_writer(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, function, *arguments)

    async def _refill(self, host: str, after: int, limit: int) -> list[Pending]:
        return await self._in_writer(self._state.pending, host, after, limit)

    async def _dispatch(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._slots.acquire()
            found = await self._hosts.next()
            if found is None:
                return
            group.create_task(self._one(*found))

    async def _one(self, host: Host, item: Pending, tried: int) -> None:
        """Fetch, examine and hand over one row. Frees its slot when the fetch is over."""
        fetched: Fetched | None = None
        try:
            try:
                fetched = await self._get(host, item)
                self._hosts.succeeded(host)
                if fetched.body is not None:
                    await self._decoders.room()
            except FetchError as error:
                if not self._hosts.failed(host, item, tried + 1, error):
                    await self._emit(_failure(item, error, tried + 1))
                if host.dead is not None:
                    await self._bury(host, host.dead)
                return
            finally:
                self._hosts.done(host)
        finally:
            self._slots.release()
        await self._examine(item, fetched, tried + 1)

    async def _get(self, host: Host, item: Pending) -> Fetched:
        if host.name == LOCAL:
            source: LocalSource = self._sources[item.part]
            limit = self._settings.max_bytes
            body = await asyncio.to_thread(source.read, str(item.locator), limit)
            return Fetched(body, 0)
        headers = {}
        if item.previous_etag:
            headers["If-None-Match"] = item.previous_etag
        if item.previous_modified:
            headers["If-Modified-Since"] = item.previous_modified

        async def turn(url: URL, crawl_delay: float) -> None:
            await self._hosts.turn(host_of(url), crawl_delay)

        return await self._fetcher.fetch(str(item.url), turn, headers)

    async def _examine(self, item: Pending, fetched: Fetched, tries: int) -> None:
        reserved = fetched.reply.reserved if fetched.reply else 0
        result = Result(
            item,
            UNCHANGED,
            status=fetched.status or None,
            final_url=fetched.final_url,
            hops=fetched.hops,
            image_id=item.previous_id,
            etag=fetched.etag or item.previous_etag,
            last_modified=fetched.last_modified or item.previous_modified,
            byte_size=len(fetched.body) if fetched.body is not None else None,
            attempts=tries,
        )
        if fetched.body is not None:
            try:
                examined: Examined = await self._decoders.examine(fetched.body)
            except ImageRefused as error:
                result.outcome, result.detail, result.image_id = error.reason, error.what, None
            else:
                result.outcome, result.image_id = STORED, examined.image_id
                result.data = fetched.body if examined.data is None else examined.data
                result.header, result.creator = examined.header, examined.creator
        await self._emit(result, reserved)

    async def _emit(self, result: Result, reserved: int = 0) -> None:
        await self._results.put((result, reserved))

    async def _bury(self, host: Host, error: FetchError) -> None:
        after = host.last_seq
        for item, tried in self._hosts.drop(host):
            await self._emit(_failure(item, error, tried))
        gone = await self._in_writer(
            self._state.give_up, host.name, after, error.slug, error.detail
        )
        self._progress.advance(gone)

    async def _write(self) -> None:
        while (first := await self._results.get()) is not None:
            batch, last = [first], False
            while len(batch) < _BATCH and not self._results.empty():
                entry = self._results.get_nowait()
                if entry is None:
                    last = True
                    break
                batch.append(entry)
            results = [result for result, _ in batch]
            await self._in_writer(self._state.record, results)
            self._budget.give(sum(reserved for _, reserved in batch))
            self._progress.update(results)
            if last:
                return

    def _save_rest(self) -> None:
        """Write what was fetched when the run was interrupted."""
        rest = []
        while not self._results.empty():
            entry = self._results.get_nowait()
            if entry is not None:
                rest.append(entry[0])
        if rest:
            with contextlib.suppress(UserError):  # a full disk has been told already
                self._state.record(rest)


def _failure(item: Pending, error: FetchError, tries: int) -> Result:
    return Result(
        item,
        error.slug,
        detail=error.detail,
        retryable=error.retryable,
        status=error.status,
        final_url=error.final_url,
        hops=error.hops,
        attempts=tries,
    )


def _first(errors: BaseExceptionGroup) -> BaseException:
    """The error to show of several: a user's before a program's."""
    flat: list[BaseException] = []

    def collect(error: BaseException) -> None:
        if isinstance(error, BaseExceptionGroup):
            for part in error.exceptions:
                collect(part)
        else:
            flat.append(error)

    collect(errors)
    return next((error for error in flat if isinstance(error, UserError)), flat[0])
