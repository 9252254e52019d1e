"""Which request is sent when: a turn for each host, a limit for all.

Memory is bounded, whatever the number of URLs and hosts: of `_OPEN` hosts at most some rows are
held at a time; the others wait in the journal, and a host that is finished is forgotten.
"""

import asyncio
import heapq
import itertools
import random
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from catalog.settings.collect import Collect
from curation.collect.outcome import FetchError
from curation.collect.rows import Pending

LOCAL = ""
"""The host of what is read from this machine."""

_REFILL = 32
"""Rows of a host that are read at a time."""

_OPEN = 4096
"""Hosts at a time. So many, because some make us wait a minute between two requests."""


_REMEMBERED = 65536
"""Finished hosts of which it is known how they wish to be treated."""

_TO_REMEMBER = frozenset({"host-unavailable", "crawl-delay"})


@dataclass(order=True)
class _Delayed:
    at: float
    number: int
    item: Pending = field(compare=False)
    attempt: int = field(compare=False)


@dataclass
class Host:
    """One host's queue, its pace and its health."""

    name: str
    interval: float
    limit: int
    queue: deque[Pending] = field(default_factory=deque)
    delayed: list[_Delayed] = field(default_factory=list)
    last_seq: int = -1
    exhausted: bool = False
    in_flight: int = 0
    next_at: float = 0.0
    failures: int = 0
    dead: FetchError | None = None
    met: bool = False
    """Whether its robots.txt has been seen; before, one request at a time."""

    entry: float | None = None
    """The time of its valid place in the heap."""

    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    """Requests that were redirected here and want a place."""

    def ready_at(self) -> float | None:
        """When it can take a request; None when it has none or no room."""
        if self.in_flight >= (self.limit if self.met else 1):
            return None
        if self.queue or not self.exhausted:
            return self.next_at
        if self.delayed:
            return max(self.next_at, self.delayed[0].at)
        return None

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.exhausted and not (self.queue or self.delayed or self.in_flight or self.waiting)


class Hosts:
    """Hands out requests in the order in which their hosts are ready.

    `names` are the hosts that have pending rows, `refill(host, after, limit)` reads such rows.
    """

    def __init__(
        self,
        settings: Collect,
        names: Iterator[str],
        refill: Callable[[str, int, int], Awaitable[list[Pending]]],
    ) -> None:
        self._settings = settings
        self._names = names
        self._refill = refill
        self._hosts: dict[str, Host] = {}
        self._past: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._heap: list[tuple[float, int, Host]] = []
        self._number = itertools.count()
        self._changed = asyncio.Event()
        self._random = random.Random()  # noqa: S311 -- jitter

    def _open_more(self) -> None:
        while len(self._hosts) < _OPEN and (name := next(self._names, None)) is not None:
            host = self.host(name)
            host.exhausted = False
            if name == LOCAL:
                host.interval, host.limit, host.met = 0.0, self._settings.concurrency, True
            self._place(host)

    def host(self, name: str) -> Host:
        """The host of that name, which may be one that only redirects lead to."""
        if name not in self._hosts:
            settings = self._settings
            self._hosts[name] = Host(
                name,
                1.0 / settings.host_rate,
                settings.host_concurrency,
                exhausted=True,
                **self._past.pop(name, {}),
            )
        return self._hosts[name]

    def dead(self, *names: str | None) -> list[Host]:
        """Those of the hosts that are left alone from now on."""
        found = [self._hosts[name] for name in dict.fromkeys(names) if name in self._hosts]
        return [host for host in found if host.dead is not None]

    def _forget(self, host: Host) -> None:
        """Drop a host that is finished, but for what it wishes and how it failed."""
        if not host.finished or self._hosts.get(host.name) is not host:
            return
        del self._hosts[host.name]
        dead = host.dead if host.dead is not None and host.dead.slug in _TO_REMEMBER else None
        waits = host.next_at > asyncio.get_running_loop().time()
        if dead is not None or host.failures or waits:
            past = {"dead": dead, "failures": host.failures, "next_at": host.next_at}
            self._past[host.name] = past
            while len(self._past) > _REMEMBERED:
                self._past.popitem(last=False)

    def _place(self, host: Host) -> None:
        at = host.ready_at()
        if at is not None and (host.entry is None or at < host.entry):
            host.entry = at
            heapq.heappush(self._heap, (at, next(self._number), host))
            self._changed.set()

    async def next(self) -> tuple[Host, Pending, int] | None:
        """Wait for the next request: its host, its row, and how often it was tried.

        None when every host is finished.
        """
        clock = asyncio.get_running_loop().time
        while True:
            self._changed.clear()
            self._open_more()
            if self._heap and self._heap[0][0] <= clock():
                at, _, host = heapq.heappop(self._heap)
                if host.entry != at:
                    continue
                host.entry = None
                taken = await self._take(host, clock())
                if taken is not None:
                    host.in_flight += 1
                self._place(host)
                if taken is not None:
                    return host, *taken
                self._forget(host)
                continue
            if not self._heap:
                for host in list(self._hosts.values()):
                    self._forget(host)
                self._open_more()
                if not self._hosts:
                    return None
            wait = self._heap[0][0] - clock() if self._heap else None
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _take(self, host: Host, now: float) -> tuple[Pending, int] | None:
        if host.delayed and host.delayed[0].at <= now:
            delayed = heapq.heappop(host.delayed)
            return delayed.item, delayed.attempt
        if not host.queue and not host.exhausted:
            rows = await self._refill(host.name, host.last_seq, _REFILL)
            host.queue.extend(rows)
            host.exhausted = len(rows) < _REFILL
            if rows:
                host.last_seq = rows[-1].seq
        return (host.queue.popleft(), 0) if host.queue else None

    async def turn(self, host: Host, crawl_delay: float) -> None:
        """Wait until `host` may be asked again. Raises `FetchError` when it is left alone."""
        host.met = True
        if crawl_delay > self._settings.max_crawl_delay:
            host.dead = FetchError(
                "crawl-delay", f"{host.name} wants {crawl_delay:g} s between requests.", True
            )
        if host.dead is not None:
            raise host.dead.again()
        host.interval = max(host.interval, crawl_delay)
        now = asyncio.get_running_loop().time()
        at = max(now, host.next_at)
        host.next_at = at + host.interval
        self._place(host)
        if at > now:
            await asyncio.sleep(at - now)

    async def move(self, held: Host, name: str) -> Host:
        """Follow a redirect: give the place at `held` back and wait for one at `name`.

        Nobody holds one place while waiting for another, so that hosts which redirect to each
        other cannot make everybody wait. Cancelled, it holds none.
        """
        host = self.host(name)
        if host is held:
            return host
        if host.in_flight < host.limit:
            host.in_flight += 1
            self.done(held)
            return host
        place = asyncio.get_running_loop().create_future()
        host.waiting.append(place)
        self.done(held)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.done(host)
            raise
        return host

    def done(self, host: Host) -> None:
        """A request has ended, well or not."""
        while host.waiting:
            place = host.waiting.popleft()
            if not place.done():
                place.set_result(None)  # who waits takes the place over
                return
        host.in_flight -= 1
        self._place(host)
        self._forget(host)
        self._changed.set()

    def succeeded(self, host: Host) -> None:
        """The host answered."""
        host.failures = 0

    def failed(self, host: Host, item: Pending, tried: int, error: FetchError) -> bool:
        """Count a failure and put the row back if it may pass; False when it is final.

        `host` is the row's own; the failure is that of the host that was asked last, to which
        redirects may have led. `tried` counts this try. A Retry-After makes the whole host wait.
        """
        settings, now = self._settings, asyncio.get_running_loop().time()
        asked = self.host(error.host) if error.host is not None else host
        if error.host_fault:
            asked.failures += 1
            if asked.failures >= settings.host_failures and asked.dead is None:
                asked.dead = FetchError(
                    "host-unavailable",
                    f"{asked.name} failed {asked.failures} times in a row, the last time with: "
                    f"{error.detail}",
                    True,
                )
        if error.slug in ("robots-unreachable", "dns", "tls"):
            asked.dead = asked.dead or error
        if error.retry_after is not None:
            if error.retry_after > settings.max_crawl_delay:
                asked.dead = asked.dead or FetchError(
                    "host-unavailable",
                    f"{asked.name} asks to be left alone for {error.retry_after:.0f} s.",
                    True,
                )
            else:
                asked.next_at = max(asked.next_at, now + error.retry_after)
        dead = host.dead is not None or asked.dead is not None
        self._forget(asked)
        home = self.host(host.name)  # it was forgotten if its last request went elsewhere
        if not error.retryable or tried >= settings.attempts or dead:
            return False
        backoff = settings.backoff * 2 ** (tried - 1)
        wait = backoff * self._random.uniform(0.5, 1.5)
        heapq.heappush(home.delayed, _Delayed(now + wait, next(self._number), item, tried))
        self._place(home)
        return True

    def drop(self, host: Host) -> list[tuple[Pending, int]]:
        """Empty a dead host's queues; return the rows that were in them."""
        rows = [(item, 0) for item in host.queue] + [(d.item, d.attempt) for d in host.delayed]
        host.queue.clear()
        host.delayed.clear()
        host.exhausted = True
        return rows
