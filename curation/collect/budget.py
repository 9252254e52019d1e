"""A bound on the bytes that are in memory at one time."""

import asyncio
from collections import deque
from collections.abc import Iterable

Waiter = tuple["Share", int, "asyncio.Future[None]"]


class Share:
    """What one body holds of a budget, and the most that it may come to hold."""

    def __init__(self, most: int) -> None:
        self.held = 0
        self.most = most


class ByteBudget:
    """First come, first served, for bodies of known length and for those that grow.

    A body of known length takes all of it at once. One of unknown length begins a `Share` and takes
    more as its bytes come. That no two of these wait for each other for ever is kept by the
    banker's algorithm (Dijkstra, EWD 108, 1964): more is given only where afterwards all that grow
    could still come to their most, one after the other. Who grows goes before who begins, for only
    an end frees bytes.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self.most_taken = 0
        self._growing: set[Share] = set()
        self._beginning: deque[Waiter] = deque()
        self._more: deque[Waiter] = deque()

    async def take(self, count: int) -> None:
        """Wait until `count` bytes are free and take them; `count` is at most `total`."""
        await self._wait(self._beginning, Share(count), count)

    def give(self, count: int) -> None:
        """Give `count` bytes back."""
        self.taken -= count
        self._serve()

    async def grow(self, share: Share, count: int) -> None:
        """Wait for `count` bytes more, with which `share` holds at most its `most` of the `total`.

        It counts as growing until `settle`, which must follow.
        """
        begun = share in self._growing
        await self._wait(self._more if begun else self._beginning, share, count)

    def settle(self, share: Share, kept: int) -> None:
        """`share` grows no more; all but `kept` of its bytes, to be given by `give`, are freed."""
        self._growing.discard(share)
        freed, share.held = share.held - kept, 0
        self.give(freed)

    async def _wait(self, queue: deque[Waiter], share: Share, count: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append((share, count, turn))
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._growing.discard(share)
                freed, share.held = share.held, 0
                self.give(freed)
            else:
                self._serve()
            raise

    def _serve(self) -> None:
        waiting = [waiter for waiter in self._more if not waiter[2].done()]
        self._more = deque(waiter for waiter in waiting if not self._granted(*waiter))
        while self._beginning:
            if not self._beginning[0][2].done() and not self._granted(*self._beginning[0]):
                return
            self._beginning.popleft()

    def _granted(self, share: Share, count: int, turn: "asyncio.Future[None]") -> bool:
        if self.taken + count > self.total:
            return False
        share.held += count
        grows = share.held < share.most or share in self._growing
        if grows and not self._safe({*self._growing, share}):
            share.held -= count
            return False
        if grows:
            self._growing.add(share)
        self.taken += count
        self.most_taken = max(self.most_taken, self.taken)
        turn.set_result(None)
        return True

    def _safe(self, growing: Iterable[Share]) -> bool:
        # What is settled or was taken whole is given back in any case, whatever the growing do.
        order = sorted(growing, key=lambda share: share.most - share.held)
        free = self.total - sum(share.held for share in order)
        for share in order:
            if share.most - share.held > free:
                return False
            free += share.held
        return True
