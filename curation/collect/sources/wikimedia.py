"""Freely licensed images of Wikimedia Commons by the MediaWiki API."""

import html
from collections.abc import Iterator
from typing import Any

from w3lib.html import remove_tags

from catalog.errors import UserError
from catalog.settings.collect import Collect
from curation.collect.sources import Item
from curation.collect.sources.api import Api, text, walk

_PAGE_SIZE = 50
_FILES = "6"  # the namespace of files
_MAX_LAG = "5"  # seconds that a replica may lag, as the API's etiquette asks


class Wikimedia:
    """Bitmap files by full-text search."""

    name = "wikimedia"

    def __init__(self, phrases: list[str], settings: Collect) -> None:
        self._phrases = phrases
        self._search = settings.search
        self._tries = settings.attempts
        self._api = Api("Wikimedia Commons", settings, {})

    def describe(self) -> dict[str, Any]:
        """Phrases and limit."""
        return {"source": self.name, "phrases": self._phrases, "limit": self._search.limit}

    def pages(self, cursor: Any) -> Iterator[tuple[list[Item], Any]]:
        """As `PagedSource.pages`; the place in a phrase is the API's own `continue` object."""
        return walk(self._phrases, self._search.limit, self._page, cursor)

    def _page(self, phrase: str, place: Any) -> tuple[list[Item], Any]:
        answer = self._ask(
            {
                "action": "query",
                "format": "json",
                "formatversion": "2",
                "maxlag": _MAX_LAG,
                "generator": "search",
                "gsrsearch": f"{phrase} filetype:bitmap",
                "gsrnamespace": _FILES,
                "gsrlimit": str(_PAGE_SIZE),
                "prop": "imageinfo",
                "iiprop": "url|extmetadata",
                "iiextmetadatafilter": "LicenseShortName|Artist",
                **{key: str(value) for key, value in (place or {}).items()},
            }
        )
        pages = (answer.get("query") or {}).get("pages") or ()
        items = [
            self._item(phrase, page["imageinfo"][0])
            for page in sorted(pages, key=lambda page: page.get("index", 0))
            if page.get("imageinfo") and text(page["imageinfo"][0].get("url"))
        ]
        return items, answer.get("continue")

    def _ask(self, parameters: dict[str, str]) -> dict[str, Any]:
        """An answer without `error`: MediaWiki reports errors with status 200.

        A lagging or limiting server is asked again, at the pace of `interval`.
        """
        said = None
        for _ in range(self._tries):
            answer, reply = self._api.get(self._search.wikimedia_url, parameters)
            if "error" not in answer:
                return answer
            code, said = answer["error"].get("code"), answer["error"].get("info")
            if code not in ("maxlag", "ratelimited", "readonly"):
                raise UserError(
                    f"Wikimedia Commons does not understand the request: {code}, {said}",
                    "Check collect.search in params.yaml.",
                )
            self._api.hold(reply)
        raise UserError(
            f"Wikimedia Commons is overloaded: {said}",
            "Run the same command again later; it goes on where it was.",
        )

    def _item(self, phrase: str, info: dict[str, Any]) -> Item:
        meta = info.get("extmetadata") or {}
        artist = text((meta.get("Artist") or {}).get("value"))
        plain = " ".join(html.unescape(remove_tags(artist)).split())[:200] if artist else None
        return Item(
            info["url"],
            self.name,
            query=phrase,
            source_page=text(info.get("descriptionurl")),
            license=text((meta.get("LicenseShortName") or {}).get("value")),
            creator=plain or None,
        )
