"""Where URLs come from: one class a file behind `Source`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


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


@runtime_checkable
class PagedSource(Protocol):
    """A source that is asked a page at a time and can go on after any of them."""

    name: str

    def describe(self) -> dict[str, Any]:
        """As `Source.describe`; what lies behind an API has no hash."""
        ...

    def pages(self, cursor: Any) -> Iterator[tuple[list[Item], Any]]:
        """The items of each page, and the cursor (a JSON value) from which to go on after it.

        `cursor` is None at the beginning. Raises `UserError`, after which the same cursor holds.
        """
        ...
