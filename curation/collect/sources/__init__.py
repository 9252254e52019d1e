"""Where URLs come from: one class a file behind `Source`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Item:
    """One image to collect, and what its source knows of it.

    `locator` is set for what is read from this machine instead of being fetched (a file, a record
    of an archive): then `key` names it and `url` may be None.
    """

    url: str | None
    source: str
    key: str | None = None
    locator: str | None = None
    query: str | None = None
    source_page: str | None = None
    license: str | None = None
    creator: str | None = None


class Source(Protocol):
    """Yields items. The same source described the same way yields the same items in order."""

    name: str

    def describe(self) -> dict[str, Any]:
        """What identifies the source and its content (with a hash), for snapshot.json."""
        ...

    def items(self) -> Iterator[Item]:
        """All items. Raises `UserError`."""
        ...


class LocalSource(Source, Protocol):
    """A source whose items are read by itself."""

    def read(self, locator: str, max_bytes: int) -> bytes:
        """The bytes of an item. Raises `FetchError`."""
        ...
