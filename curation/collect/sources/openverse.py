"""Openly licensed images by Openverse's API (https://api.openverse.org/v1/)."""

import os
from collections.abc import Iterator
from typing import Any

from catalog.settings.collect import Collect
from curation.collect.sources import Item
from curation.collect.sources.api import Api, text, walk

_PAGES = 20
"""The deepest page that Openverse answers."""

_PUBLIC_PAGE_SIZE, _TOKEN_PAGE_SIZE = 20, 50
"""A larger page is answered with 401 where there is no token."""


class Openverse:
    """Image search by phrase. A token in OPENVERSE_TOKEN raises the limits; none is needed."""

    name = "openverse"

    def __init__(self, phrases: list[str], settings: Collect) -> None:
        token = os.environ.get("OPENVERSE_TOKEN")
        self._phrases = phrases
        self._search = settings.search
        self._size = _TOKEN_PAGE_SIZE if token else _PUBLIC_PAGE_SIZE
        self._api = Api(
            "Openverse", settings, {"Authorization": f"Bearer {token}"} if token else {}
        )

    def describe(self) -> dict[str, Any]:
        """Phrases, limit and licences."""
        return {
            "source": self.name,
            "phrases": self._phrases,
            "limit": self._search.limit,
            "licenses": list(self._search.licenses),
        }

    def pages(self, cursor: Any) -> Iterator[tuple[list[Item], Any]]:
        """As `PagedSource.pages`."""
        return walk(self._phrases, self._search.limit, self._page, cursor)

    def _page(self, phrase: str, place: Any) -> tuple[list[Item], Any]:
        number = place or 1
        answer, _ = self._api.get(
            self._search.openverse_url,
            {
                "q": phrase,
                "page": str(number),
                "page_size": str(self._size),
                "license": ",".join(self._search.licenses),
                "mature": "false",
            },
        )
        items = [
            Item(
                result["url"],
                self.name,
                query=phrase,
                source_page=text(result.get("foreign_landing_url")),
                license=_license(result),
                creator=text(result.get("creator")),
            )
            for result in answer.get("results") or ()
            if text(result.get("url"))
        ]
        more = number < min(int(answer.get("page_count") or 0), _PAGES)
        return items, number + 1 if more else None


def _license(result: dict[str, Any]) -> str | None:
    """Such as "by-sa 4.0"; cc0 and pdm have versions of their own, too."""
    code, version = text(result.get("license")), text(result.get("license_version"))
    return f"{code} {version}" if code and version else code
