"""Progress of long work: a bar on a terminal, a log line now and then elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from catalog.log import logger

T = TypeVar("T")
_EVERY = 10.0  # seconds between log lines


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`; show how many of `total` are done, the rate and the time left."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=what, total=total, unit="")
        return
    log = logger(__name__)
    started = said = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - said >= _EVERY:
            said = now
            rate = done / (now - started)
            left = f"{(total - done) / rate:.0f}" if total else None
            log.info("progress", what=what, done=done, of=total, per_s=round(rate, 2), left_s=left)
