"""A bound on the bytes that are in memory at one time."""

import asyncio
from collections import deque


class ByteBudget:
    """First come, first served; each holder takes all that it may need before it starts.

    Taking the whole at once is what keeps two half-read bodies from waiting for each other.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self.most_taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, count: int) -> None:
        """Wait until `count` bytes are free and take them; `count` is at most `total`."""
        if self._waiting or self.taken + count > self.total:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((count, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.give(count)
                raise
        else:
            self._count(count)

    def give(self, count: int) -> None:
        """Give `count` bytes back."""
        self.taken -= count
        while self._waiting:
            wanted, turn = self._waiting[0]
            if not turn.done():
                if self.taken + wanted > self.total:
                    return
                self._count(wanted)
                turn.set_result(None)
            self._waiting.popleft()

    def _count(self, count: int) -> None:
        self.taken += count
        self.most_taken = max(self.most_taken, self.taken)
