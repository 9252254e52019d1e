"""Asking a search API, politely and guarded like every other request."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from yarl import URL

from catalog.errors import UserError
from catalog.settings.collect import Collect
from curation.collect.budget import ByteBudget
from curation.collect.http import Http, Reply, retry_after, status_error
from curation.collect.outcome import FetchError
from curation.collect.sources import Item

_MAX_BYTES = 16 * 2**20
_AGAIN = "Run the same command again later; it goes on where it was."


class Api:
    """GET with a pace, tries and Retry-After; answers JSON objects."""

    def __init__(self, name: str, settings: Collect, headers: Mapping[str, str]) -> None:
        self._name = name
        self._settings = settings
        self._headers = headers
        self._next_at = 0.0

    def get(self, url: str, parameters: Mapping[str, str]) -> tuple[dict[str, Any], Reply]:
        """One page. Raises `UserError` for what trying again will not mend, or has not.

        `max_crawl_delay` bounds what a failure makes it wait, not the pace that the user set.
        """
        target = URL(url).update_query(parameters)
        settings = self._settings
        error: FetchError | None = None
        for tried in range(settings.attempts):
            if error is not None:
                wait = error.retry_after or settings.backoff * 2 ** (tried - 1)
                if wait > settings.max_crawl_delay:
                    break
                self._next_at = max(self._next_at, time.monotonic() + wait)
            time.sleep(max(self._next_at - time.monotonic(), 0.0))
            self._next_at = time.monotonic() + settings.search.interval
            try:
                reply = asyncio.run(self._request(target))
                return self._content(reply), reply
            except FetchError as caught:
                error = caught
                if not caught.retryable:
                    break
        assert error is not None
        raise UserError(f"{self._name} cannot be asked: {error.detail}", _AGAIN) from error

    def hold(self, reply: Reply) -> None:
        """Wait as the answer asks (Retry-After) before the next request."""
        wait = min(retry_after(reply.headers.get("Retry-After")) or 0.0, 60.0)
        self._next_at = max(self._next_at, time.monotonic() + wait)

    async def _request(self, url: URL) -> Reply:
        settings = self._settings
        async with Http(settings, ByteBudget(max(settings.bytes_in_flight, _MAX_BYTES))) as http:
            return await http.get(url, self._headers, max_bytes=_MAX_BYTES, keep_errors=True)

    def _content(self, reply: Reply) -> dict[str, Any]:
        if reply.status >= 300:
            self._refuse(reply)
        try:
            content = json.loads(reply.body or b"")
        except ValueError as error:
            raise FetchError("bad-answer", "it does not answer JSON.", True) from error
        if not isinstance(content, dict):
            raise FetchError("bad-answer", "it does not answer a JSON object.", True)
        return content

    def _refuse(self, reply: Reply) -> None:
        said = " ".join((reply.body or b"").decode("utf-8", "replace").split())[:300]
        if reply.status in (401, 403):
            raise UserError(
                f"{self._name} refuses the request ({reply.status}): {said}",
                "Check the key or token in the environment.",
            )
        error = status_error(reply)
        if not error.retryable:
            raise UserError(
                f"{self._name} does not understand the request ({reply.status}): {said}",
                "Check collect.search in params.yaml.",
            )
        error.detail = f"it answers {reply.status}: {said}"
        raise error


Page = Callable[[str, Any], tuple[list[Item], Any]]
"""Phrase and the place in it (None at first) to items and the next place (None at the end)."""


def walk(
    phrases: list[str], limit: int, page: Page, cursor: Any
) -> Iterator[tuple[list[Item], Any]]:
    """The pages of all phrases, `limit` items of each; cursors as `PagedSource.pages` has them."""
    at = cursor or {"phrase": 0, "place": None, "found": 0}
    while at["phrase"] < len(phrases):
        items, place = page(phrases[at["phrase"]], at["place"])
        items = items[: limit - at["found"]]
        found = at["found"] + len(items)
        if place is None or found >= limit:
            at = {"phrase": at["phrase"] + 1, "place": None, "found": 0}
        else:
            at = {"phrase": at["phrase"], "place": place, "found": found}
        yield items, at


def text(value: Any) -> str | None:
    """A string with content, or None."""
    return value.strip() or None if isinstance(value, str) else None
