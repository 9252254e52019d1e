"""Fetching one URL: redirects by hand, every hop checked, opt-outs obeyed."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from yarl import URL

from catalog.settings.collect import Collect
from curation.collect.http import REDIRECTS, Http, Reply, host_of, parse_url, resolve, status_error
from curation.collect.opt_outs import agent_token, header_opt_out
from curation.collect.outcome import FetchError
from curation.collect.robots import Robots


@dataclass
class Fetched:
    """A body that came, or None for "304 Not Modified", and what the answer said of it.

    `reserved` is what the body holds of the budget of bytes.
    """

    body: bytes | None
    status: int
    final_url: str | None = None
    hops: list[str] = field(default_factory=list)
    etag: str | None = None
    last_modified: str | None = None
    reserved: int = 0


Turn = Callable[[URL, float], Awaitable[None]]
"""Waits for the turn at the URL's host, given its crawl-delay; called before each request."""


class Fetcher:
    """Fetches images by URL. `blocked` tells whether a URL was taken down."""

    def __init__(
        self, http: Http, robots: Robots, settings: Collect, blocked: Callable[[str], bool]
    ) -> None:
        self._http = http
        self._robots = robots
        self._settings = settings
        self._blocked = blocked
        self._agent = agent_token(settings.user_agent)

    async def fetch(self, text: str, turn: Turn, headers: Mapping[str, str]) -> Fetched:
        """Raises `FetchError`, its `hops` being the URLs redirected to."""
        hops: list[str] = []
        asked: str | None = None
        try:
            url = parse_url(text)
            while True:
                asked = host_of(url)
                await turn(url, await self._robots.check(url))
                reply = await self._http.get(url, headers)
                if reply.status not in REDIRECTS:
                    return self._finish(reply, url, hops, bool(headers))
                if len(hops) >= self._settings.max_redirects:
                    raise FetchError(
                        "too-many-redirects",
                        f"More than {self._settings.max_redirects} redirects.",
                        status=reply.status,
                    )
                url = resolve(url, reply.headers.get("Location"))
                hops.append(str(url))
                if self._blocked(str(url)):
                    raise FetchError("blocked", "It redirects to a URL that was taken down.")
        except FetchError as error:
            error.hops, error.host = hops, asked
            error.final_url = hops[-1] if hops else None
            raise

    def _finish(self, reply: Reply, url: URL, hops: list[str], conditional: bool) -> Fetched:
        if reply.status >= 300 and not (reply.status == 304 and conditional):
            raise status_error(reply)
        directive = header_opt_out(
            reply.headers.getall("X-Robots-Tag", []),
            reply.headers.get("TDM-Reservation"),
            self._agent,
            self._settings.opt_outs,
        )
        if directive is not None:
            self._http.release(reply)
            raise FetchError("opt-out", f"The answer says {directive}.", status=reply.status)
        return Fetched(
            reply.body,
            reply.status,
            str(url),
            hops,
            reply.headers.get("ETag"),
            reply.headers.get("Last-Modified"),
            reply.reserved,
        )
