"""robots.txt (RFC 9309), kept for the origins that were asked last."""

import asyncio
import re
from collections import OrderedDict

from protego import Protego
from yarl import URL

from catalog.settings.collect import Collect
from curation.collect.http import REDIRECTS, Http, resolve, status_error
from curation.collect.opt_outs import agent_token
from curation.collect.outcome import FetchError

_ORIGINS = 16_384
"""Rules that are kept; those that were not used for the longest time are read again. Well above
the hosts that take turns (`hosts._OPEN`): below, every request would read one again."""

_KEPT_BYTES = 16 * 2**20
"""Bytes of robots.txt whose rules are kept; parsed they take up to forty times as many."""

_MAX_BYTES = 512 * 1024  # RFC 9309, 2.5: at least 500 KiB are to be parsed


_AGENT_LINE = re.compile(r"user[- ]?agent\s*[:\s]\s*(.*)", re.IGNORECASE)


def parse_rules(text: str, agent: str) -> Protego:
    """The rules that `agent` (a token in lower case) may be meant by.

    Protego keeps a copy of each rule for each robot of a group, so that 512 KiB of many names and
    many rules would take tens of GB: the names of others are left out first.
    """
    kept: list[str] = []
    other = False  # whether the last line kept names another robot
    for line in text.splitlines():
        plain = line.partition("#")[0].strip()
        found = _AGENT_LINE.match(plain)
        name = found.group(1).strip().lower() if found else ""
        if name and name != "*" and name.replace("*", "") not in agent:
            if not other:
                kept.append("User-agent: /")  # no robot's name, but it begins a group
            other = True
        elif plain:
            kept.append(plain)
            other = False
    return Protego.parse("\n".join(kept))


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
        self._sizes: dict[str, int] = {}
        self._kept_bytes = 0

    async def check(self, url: URL) -> float:
        """The crawl-delay in seconds, 0 where there is none.

        Raises `FetchError` ("robots-denied", "robots-unreachable", or why no host is there).
        """
        if not self._settings.obey_robots:
            return 0.0
        origin = str(url.origin())
        if origin not in self._rules:
            self._make_room()
            self._rules[origin] = asyncio.create_task(self._read(url))
        self._rules.move_to_end(origin)
        rules = await asyncio.shield(self._rules[origin])
        if not rules.can_fetch(str(url), self._agent):
            raise FetchError("robots-denied", f"{origin}/robots.txt forbids it.")
        return float(rules.crawl_delay(self._agent) or 0.0)

    def _make_room(self) -> None:
        while self._rules and (len(self._rules) >= _ORIGINS or self._kept_bytes > _KEPT_BYTES):
            origin, _ = self._rules.popitem(last=False)
            self._kept_bytes -= self._sizes.pop(origin, 0)

    async def _read(self, url: URL) -> Protego:
        settings = self._settings
        for tried in range(1, settings.attempts + 1):
            try:
                return await self._request(url)
            except FetchError as error:
                last = tried == settings.attempts or not error.retryable
                # Asking again before the time that it names is what it does not want.
                last = last or (error.retry_after or 0.0) > settings.max_crawl_delay
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

    def _parsed(self, url: URL, body: bytes) -> Protego:
        origin = str(url.origin())
        if origin in self._rules:  # not where it was given up for others meanwhile
            self._kept_bytes += len(body) - self._sizes.get(origin, 0)
            self._sizes[origin] = len(body)
        return parse_rules(body.decode("utf-8-sig", "replace"), self._agent)

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
                return self._parsed(url, reply.body or b"")
        raise FetchError("too-many-redirects", "it redirects too often")
