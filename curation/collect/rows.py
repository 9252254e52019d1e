"""A row of the journal before it is fetched, and what came of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from catalog import images


def storable(text: str | None) -> str | None:
    """`text` as UTF-8 can write it: what is no character (a lone surrogate) becomes "?".

    Headers with other bytes and JSON with halves of characters hold such; SQLite and Arrow refuse
    them, and one answer would end the run.
    """
    return text.encode("utf-8", "replace").decode("utf-8") if isinstance(text, str) else text


@dataclass(frozen=True)
class Pending:
    """A row of the journal that is to be fetched."""

    seq: int
    url_key: str
    url: str | None
    host: str
    locator: str | None
    part: int
    previous_id: str | None
    previous_etag: str | None
    previous_modified: str | None


@dataclass
class Result:
    """What came of a row. `data` and `header` are set for an image that may be stored."""

    item: Pending
    outcome: str
    detail: str | None = None
    retryable: bool = False
    status: int | None = None
    final_url: str | None = None
    hops: Sequence[str] = ()
    image_id: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    byte_size: int | None = None
    attempts: int = 0
    creator: str | None = None
    data: bytes | None = None
    header: images.Header | None = None
    fetched_at: int = 0

    def __post_init__(self) -> None:
        self.fetched_at = self.fetched_at or int(time.time() * 1000)
