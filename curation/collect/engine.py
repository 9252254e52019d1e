"""Fetching everything that is pending in the journal."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from yarl import URL

from catalog.blocklist import Blocklist
from catalog.errors import ImageRefused, UserError
from catalog.log import logger
from catalog.settings.collect import Collect
from curation.collect.budget import ByteBudget
from curation.collect.decoders import Decoders
from curation.collect.examine import Examined
from curation.collect.fetch import Fetched, Fetcher
from curation.collect.hosts import LOCAL, Host, Hosts
from curation.collect.http import Http, host_of
from curation.collect.outcome import OUT_OF_TIME, STORED, UNCHANGED, FetchError
from curation.collect.progress import Progress
from curation.collect.robots import Robots
from curation.collect.rows import Pending, Result
from curation.collect.sources import LocalSource
from curation.collect.state import State

T = TypeVar("T")
_SPARE_THREADS = 8
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
        names = (name for name, _ in state.hosts())
        self._hosts = Hosts(settings, names, self._refill)

    async def run(self) -> int:
        """Fetch until nothing is pending; return the most bytes that were in flight.

        Raises `UserError`: a full disk, decoders that do not start.
        """
        # Names resolve and files are read in threads. With the usual few, some names whose servers
        # do not answer would let all others run into their time-outs.
        threads = ThreadPoolExecutor(self._settings.concurrency + _SPARE_THREADS, "collect")
        asyncio.get_running_loop().set_default_executor(threads)
        try:
            async with Http(self._settings, self._budget) as http:
                self._fetcher = Fetcher(
                    http, Robots(http, self._settings), self._settings, self._blocklist.blocks_url
                )
                decoders = Decoders(self._settings, self._blocklist.phashes)
                async with decoders as self._decoders, asyncio.TaskGroup() as group:
                    group.create_task(self._write())
                    async with asyncio.TaskGroup() as fetches:
                        in_time = await self._dispatch(fetches)
                    await self._results.put(None)
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        finally:
            self._writer.shutdown(wait=True)
            self._save_rest()
        if not in_time:
            limit = f"The run was limited to {self._settings.max_minutes:g} minutes."
            self._progress.advance(self._state.give_up_rest(OUT_OF_TIME, limit))
        return self._budget.most_taken

    async def _in_writer(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, function, *arguments)

    async def _refill(self, host: str, after: int, limit: int) -> list[Pending]:
        return await self._in_writer(self._state.pending, host, after, limit)

    async def _dispatch(self, group: asyncio.TaskGroup) -> bool:
        """Start requests until none is left; False when the time is over before."""
        minutes = self._settings.max_minutes
        try:
            async with asyncio.timeout(None if minutes is None else 60 * minutes):
                while True:
                    await self._slots.acquire()
                    found = await self._hosts.next()
                    if found is None:
                        return True
                    group.create_task(self._one(*found))
        except TimeoutError:
            return False

    async def _one(self, host: Host, item: Pending, tried: int) -> None:
        """Fetch, examine and hand over one row. Frees its slot when the fetch is over."""
        place = _Place(self._hosts, host)
        try:
            try:
                fetched = await self._get(place, item)
                self._hosts.succeeded(host)
                if place.host is not None:
                    self._hosts.succeeded(place.host)
                if fetched.body is not None:
                    await self._decoders.room()
            except FetchError as error:
                if not self._hosts.failed(host, item, tried + 1, error):
                    await self._emit(_failure(item, error, tried + 1))
                for dead in self._hosts.dead(host.name, error.host):
                    await self._bury(dead)
                return
            finally:
                place.leave()
        finally:
            self._slots.release()
        await self._examine(item, fetched, tried + 1)

    async def _get(self, place: "_Place", item: Pending) -> Fetched:
        if item.url and self._blocklist.blocks_url(item.url):  # since it was planned
            raise FetchError("blocked", "The URL was taken down.")
        try:
            return await self._ask(place, item)
        except (FetchError, UserError):
            raise
        except Exception as error:  # a fault of ours, of a library, or of a source's file
            logger(__name__).exception("fault", url=item.url or item.url_key)
            raise FetchError("fault", f"The collector cannot handle it: {error!r}.") from error

    async def _ask(self, place: "_Place", item: Pending) -> Fetched:
        if item.host == LOCAL:
            return await self._read(self._sources[item.part], str(item.locator))
        headers = {}
        if item.previous_id and item.previous_etag:
            headers["If-None-Match"] = item.previous_etag
        if item.previous_id and item.previous_modified:
            headers["If-Modified-Since"] = item.previous_modified
        return await self._fetcher.fetch(str(item.url), place.turn, headers)

    async def _read(self, source: LocalSource, locator: str) -> Fetched:
        limit = self._settings.max_bytes
        await self._budget.take(limit)
        body = b""
        try:
            body = await asyncio.to_thread(source.read, locator, limit)
        finally:
            self._budget.give(limit - len(body))
        return Fetched(body, 0, reserved=len(body))

    async def _examine(self, item: Pending, fetched: Fetched, tries: int) -> None:
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
        if result.outcome in (STORED, UNCHANGED):
            result.detail = _changes(item, fetched, result.image_id)
        await self._emit(result, fetched.reserved)

    async def _emit(self, result: Result, reserved: int = 0) -> None:
        await self._results.put((result, reserved))

    async def _bury(self, host: Host) -> None:
        error, after = host.dead, host.last_seq
        assert error is not None
        for item, tried in self._hosts.drop(host):
            result = _failure(item, error, tried)
            result.retryable = True  # as for the rows in the journal: nobody asked for this URL
            await self._emit(result)
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


class _Place:
    """The place at a host that a request holds; it goes along with redirects."""

    def __init__(self, hosts: Hosts, host: Host) -> None:
        self._hosts = hosts
        self.host: Host | None = host

    async def turn(self, url: URL, crawl_delay: float) -> None:
        """As `fetch.Turn`."""
        held, self.host = self.host, None
        assert held is not None
        self.host = await self._hosts.move(held, host_of(url))
        await self._hosts.turn(self.host, crawl_delay)

    def leave(self) -> None:
        """Give the place back."""
        if self.host is not None:
            self._hosts.done(self.host)
            self.host = None


def _changes(item: Pending, fetched: Fetched, image_id: str | None) -> str | None:
    """What is new at a URL that an earlier snapshot has, in words; None where nothing is."""
    if item.previous_id is None:
        return None
    pairs = {
        "bytes": (item.previous_id, image_id),
        "ETag": (item.previous_etag, fetched.etag),
        "Last-Modified": (item.previous_modified, fetched.last_modified),
    }
    new = [name for name, (old, found) in pairs.items() if found is not None and found != old]
    return f"Changed since the last time: {', '.join(new)}." if new else None


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
