"""Progress of a collection: a bar on a terminal, a log line now and then elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from catalog.log import logger
from curation.collect.rows import Result

_EVERY = 10.0  # seconds between log lines


class Progress:
    """Counts outcomes and bytes; shows rate and time left. Use as a context."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._bytes = 0
        self._outcomes: Counter[str] = Counter()
        self._started = self._said = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(desc="collect", total=self._total, unit="url")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, results: Sequence[Result]) -> None:
        """Count what was recorded."""
        for result in results:
            self._outcomes[result.outcome] += 1
            self._bytes += result.byte_size or 0
        self.advance(len(results))

    def advance(self, count: int) -> None:
        """Count URLs that have come to an end."""
        self._done += count
        now = time.monotonic()
        seconds = max(now - self._started, 1e-6)
        if self._bar is not None:
            self._bar.update(count)
            self._bar.set_postfix(
                dict(self._outcomes.most_common(3)), MB=round(self._bytes / 1e6), refresh=False
            )
        elif now - self._said >= _EVERY:
            self._said = now
            rate = self._done / seconds
            logger(__name__).info(
                "progress",
                what="collect",
                done=self._done,
                of=self._total,
                per_s=round(rate, 1),
                mb_per_s=round(self._bytes / 1e6 / seconds, 2),
                left_s=round((self._total - self._done) / rate) if rate else None,
                outcomes=dict(self._outcomes.most_common(6)),
            )
