"""robots.txt (RFC 9309), kept for the origins that were asked last."""

import asyncio
from collections import OrderedDict

from protego import Protego
from yarl import URL

from catalog.settings.collect import Collect
from curation.collect.http import REDIRECTS, Http, resolve, status_error
from curation.collect.opt_outs import agent_token
from curation.collect.outcome import FetchError

_ORIGINS = 2048
"""Rules that are kept; those that were not used for the longest time are read again."""

_MAX_BYTES = 512 * 1024  # RFC 9309, 2.5: at least 500 KiB are to be parsed


class Robots:
    """Answers whether a URL may be fetched, and how slowly.

    A robots.txt that does not exist (any 4xx) allows everything; one that cannot be read (5xx, no
    connection, too many redirects) forbids everything for the run.
    """

    def __init__(self, http: Http, settings: Collect) -> None:
        self._http = http
        self._settings = settings
        # Protego matches by the product token; the comment in a user agent must not take part.
        self._agent = agent_token(settings.user_agent)
        self._rules: OrderedDict[str, asyncio.Task[Protego]] = OrderedDict()

    async def check(self, url: URL) -> float:
        """The crawl-delay in seconds, 0 where there is none.

        Raises `FetchError` ("robots-denied", "robots-unreachable", or why no host is there).
        """
        if not self._settings.obey_robots:
            return 0.0
        origin = str(url.origin())
        if origin not in self._rules:
            while len(self._rules) >= _ORIGINS:
                self._rules.popitem(last=False)
            self._rules[origin] = asyncio.create_task(self._read(url))
        self._rules.move_to_end(origin)
        rules = await asyncio.shield(self._rules[origin])
        if not rules.can_fetch(str(url), self._agent):
            raise FetchError("robots-denied", f"{origin}/robots.txt forbids it.")
        return float(rules.crawl_delay(self._agent) or 0.0)

    async def _read(self, url: URL) -> Protego:
        settings = self._settings
        for tried in range(1, settings.attempts + 1):
            try:
                return await self._request(url)
            except FetchError as error:
                last = tried == settings.attempts or not error.retryable
                if last and error.slug in ("address-refused", "invalid-url", "dns", "tls"):
                    raise  # what is wrong is not robots.txt
                if last:
                    raise FetchError(
                        "robots-unreachable",
                        f"{url.origin()}/robots.txt cannot be read: {error}",
                        retryable=True,
                        host_fault=True,
                    ) from error
                wait = error.retry_after or settings.backoff * 2 ** (tried - 1)
                await asyncio.sleep(min(wait, settings.max_crawl_delay))
        raise AssertionError("unreachable")

    async def _request(self, url: URL) -> Protego:
        at = url.origin().with_path("/robots.txt")
        for _ in range(self._settings.max_redirects + 1):
            reply = await self._http.get(at, max_bytes=_MAX_BYTES, cut=True)
            self._http.release(reply)
            if reply.status in REDIRECTS and reply.headers.get("Location"):
                at = resolve(at, reply.headers["Location"])
            elif 400 <= reply.status < 500 and reply.status != 429:
                return Protego.parse("")
            elif reply.status >= 300:
                raise status_error(reply)
            else:
                return Protego.parse((reply.body or b"").decode("utf-8", "replace"))
        raise FetchError("too-many-redirects", "it redirects too often")
