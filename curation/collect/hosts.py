"""Which request is sent when: a turn for each host, a limit for all."""

import asyncio
import heapq
import itertools
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from catalog.settings.collect import Collect
from curation.collect.outcome import FetchError
from curation.collect.state import Pending

LOCAL = ""
"""The host of what is read from this machine."""

_REFILL = 256


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
        return self.exhausted and not (self.queue or self.delayed or self.in_flight)


class Hosts:
    """Hands out requests in the order in which their hosts are ready.

    `refill(host, after, limit)` reads pending rows from the journal.
    """

    def __init__(
        self, settings: Collect, refill: Callable[[str, int, int], Awaitable[list[Pending]]]
    ) -> None:
        self._settings = settings
        self._refill = refill
        self._hosts: dict[str, Host] = {}
        self._heap: list[tuple[float, int, Host]] = []
        self._number = itertools.count()
        self._changed = asyncio.Event()
        self._random = random.Random()  # noqa: S311 -- jitter

    def add(self, name: str) -> None:
        """Open a host that has pending rows."""
        local = name == LOCAL
        host = self._host(name)
        host.exhausted = False
        if local:
            host.interval, host.limit, host.met = 0.0, self._settings.concurrency, True
        self._place(host)

    def _host(self, name: str) -> Host:
        if name not in self._hosts:
            settings = self._settings
            self._hosts[name] = Host(
                name, 1.0 / settings.host_rate, settings.host_concurrency, exhausted=True
            )
        return self._hosts[name]

    @property
    def open(self) -> int:
        """Hosts with work left."""
        return sum(not host.finished for host in self._hosts.values())

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
                continue
            if not self._heap and not self.open:
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

    async def turn(self, name: str, crawl_delay: float) -> None:
        """Wait until `name` may be asked again. Raises `FetchError` when it is left alone."""
        host = self._host(name)
        host.met = True
        if crawl_delay > self._settings.max_crawl_delay:
            host.dead = FetchError(
                "crawl-delay", f"{name} wants {crawl_delay:g} s between requests.", True
            )
        if host.dead is not None:
            raise host.dead
        host.interval = max(host.interval, crawl_delay)
        now = asyncio.get_running_loop().time()
        at = max(now, host.next_at)
        host.next_at = at + host.interval
        self._place(host)
        if at > now:
            await asyncio.sleep(at - now)

    def done(self, host: Host) -> None:
        """A request has ended, well or not."""
        host.in_flight -= 1
        self._place(host)
        self._changed.set()

    def succeeded(self, host: Host) -> None:
        """The host answered."""
        host.failures = 0

    def failed(self, host: Host, item: Pending, tried: int, error: FetchError) -> bool:
        """Count a failure and put the row back if it may pass; False when it is final.

        `tried` counts this try. A Retry-After makes the whole host wait.
        """
        settings, now = self._settings, asyncio.get_running_loop().time()
        own = not error.hops  # what a redirect's target does is not this host's fault
        if error.host_fault and own:
            host.failures += 1
            if host.failures >= settings.host_failures and host.dead is None:
                host.dead = FetchError(
                    "host-unavailable",
                    f"{host.name} failed {host.failures} times in a row, the last time with: "
                    f"{error.detail}",
                    True,
                )
        if error.slug in ("robots-unreachable", "dns", "tls") and own:
            host.dead = host.dead or error
        if error.retry_after is not None and own:
            if error.retry_after > settings.max_crawl_delay:
                host.dead = host.dead or FetchError(
                    "host-unavailable",
                    f"{host.name} asks to be left alone for {error.retry_after:.0f} s.",
                    True,
                )
            else:
                host.next_at = max(host.next_at, now + error.retry_after)
        if not error.retryable or tried >= settings.attempts or host.dead is not None:
            return False
        backoff = settings.backoff * 2 ** (tried - 1)
        wait = backoff * self._random.uniform(0.5, 1.5)
        heapq.heappush(host.delayed, _Delayed(now + wait, next(self._number), item, tried))
        return True

    def drop(self, host: Host) -> list[tuple[Pending, int]]:
        """Empty a dead host's queues; return the rows that were in them."""
        rows = [(item, 0) for item in host.queue] + [(d.item, d.attempt) for d in host.delayed]
        host.queue.clear()
        host.delayed.clear()
        host.exhausted = True
        return rows
