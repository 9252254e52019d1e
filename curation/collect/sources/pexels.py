"""Photos of Pexels by its API; the key is in the environment."""

import os
import re
import time
from collections.abc import Iterator
from typing import Any

from catalog.errors import UserError
from catalog.settings.collect import Collect
from curation.collect.http import Reply
from curation.collect.sources import Item
from curation.collect.sources.api import Api, text, walk

_PAGE_SIZE = 80
_NUMBER = re.compile("[0-9]{1,11}")  # "²" is a digit, too, and no date has a year beyond 9999


class Pexels:
    """Photo search by phrase. PEXELS_API_KEY holds the key."""

    name = "pexels"

    def __init__(self, phrases: list[str], settings: Collect) -> None:
        key = os.environ.get("PEXELS_API_KEY")
        if not key:
            raise UserError(
                "Pexels wants a key and PEXELS_API_KEY is not set.",
                "Get one at https://www.pexels.com/api/ and put it into the environment.",
            )
        self._phrases = phrases
        self._search = settings.search
        self._api = Api("Pexels", settings, {"Authorization": key})
        self._spent: float | None = None

    def describe(self) -> dict[str, Any]:
        """Phrases and limit."""
        return {"source": self.name, "phrases": self._phrases, "limit": self._search.limit}

    def pages(self, cursor: Any) -> Iterator[tuple[list[Item], Any]]:
        """As `PagedSource.pages`; ends with a `UserError` when the key's quota is used up."""
        return walk(self._phrases, self._search.limit, self._page, cursor)

    def _page(self, phrase: str, place: Any) -> tuple[list[Item], Any]:
        if self._spent is not None and time.time() < self._spent:
            until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self._spent))
            raise UserError(
                f"The quota of the Pexels key is used up until {until}.",
                "Run the same command again after that; it goes on where it was.",
            )
        number = place or 1
        answer, reply = self._api.get(
            self._search.pexels_url,
            {"query": phrase, "page": str(number), "per_page": str(_PAGE_SIZE)},
        )
        self._spent = _spent_until(reply)
        items = [
            Item(
                photo["src"]["original"],
                self.name,
                query=phrase,
                source_page=text(photo.get("url")),
                license="Pexels License",
                creator=text(photo.get("photographer")),
            )
            for photo in answer.get("photos") or ()
            if text((photo.get("src") or {}).get("original"))
        ]
        return items, number + 1 if answer.get("next_page") else None


def _spent_until(reply: Reply) -> float | None:
    """When a used-up quota is renewed (X-Ratelimit-Reset, a Unix time); None where some is left."""
    remaining, reset = (
        reply.headers.get(name) for name in ("X-Ratelimit-Remaining", "X-Ratelimit-Reset")
    )
    if remaining is None or not _NUMBER.fullmatch(remaining) or int(remaining) > 0:
        return None
    return float(reset) if reset is not None and _NUMBER.fullmatch(reset) else None
