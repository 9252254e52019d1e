"""One HTTP request at a time: guarded, bounded in bytes and time, without following redirects."""

import asyncio
import email.utils
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from catalog.settings.collect import Collect
from curation.collect.addresses import AddressGuard, AddressRefused, GuardedResolver
from curation.collect.body import BodyReader
from curation.collect.budget import ByteBudget, Share
from curation.collect.outcome import FetchError

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DNS_SECONDS = 300


@dataclass
class Reply:
    """An answer; `body` is None where not read, `reserved` is what it holds of the budget."""

    url: str
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes | None = None
    reserved: int = 0


def parse_url(text: str) -> URL:
    """The URL as it is to be requested; raises `FetchError` ("invalid-url").

    What is already plain ASCII is sent as it stands, since some servers tell %7E from ~.
    """
    try:
        plain = text.isascii() and text.isprintable() and " " not in text
        url = URL(text, encoded=plain)
        if url.scheme.lower() not in ("http", "https"):
            raise FetchError("invalid-url", f"The scheme {url.scheme!r} is not http or https.")
        if not url.raw_host or url.port is None:
            raise FetchError("invalid-url", "The URL names no host.")
        url.origin()  # yarl reads some hosts in brackets that it, or urllib, cannot take apart
        _ = urlsplit(str(url)).port
    except (ValueError, TypeError, LookupError) as error:
        raise FetchError("invalid-url", f"The URL cannot be read: {error}.") from error
    return url


def resolve(url: URL, location: str | None) -> URL:
    """Where a redirect from `url` leads; raises `FetchError` ("bad-redirect")."""
    try:
        return parse_url(str(url.join(URL(location or ""))) if location else "")
    except (FetchError, ValueError, TypeError, LookupError) as error:
        raise FetchError(
            "bad-redirect", f"It redirects to {(location or '')[:200]!r}, no http address."
        ) from error


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header: a number or a date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    if value.strip().isdecimal():  # "²" is a digit, too
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def status_error(reply: Reply) -> FetchError:
    """An answer of status 300 and above as an error; 429 and 5xx may pass."""
    status = reply.status
    passing = status == 429 or status >= 500
    return FetchError(
        f"http-{status}",
        f"The server answers {status}.",
        retryable=passing,
        status=status,
        retry_after=retry_after(reply.headers.get("Retry-After")) if passing else None,
        host_fault=status >= 500,
    )


def host_of(url: URL) -> str:
    """scheme://host:port in lower case, the unit of politeness and of what fails together.

    With the scheme: a port that speaks no TLS says nothing of the same port's plain answers, and
    anybody may redirect to it.
    """
    return f"{url.scheme.lower()}://{(url.raw_host or '').lower()}:{url.port}"


def _as_fetch_error(error: BaseException) -> FetchError:
    if isinstance(error, TimeoutError):
        return FetchError("timeout", "The server was too slow.", True, host_fault=True)
    if isinstance(error, aiohttp.InvalidURL):
        return FetchError("invalid-url", f"The URL cannot be requested: {error}.")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return FetchError("tls", f"The TLS connection is not trusted: {error}.", host_fault=True)
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        if isinstance(cause, AddressRefused):
            return FetchError("address-refused", f"{cause}.")
        if isinstance(cause, socket.gaierror):
            lasting = cause.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None))
            return FetchError(
                "dns", f"The name does not resolve: {cause}.", not lasting, host_fault=True
            )
        return FetchError("unreachable", f"No connection: {cause}.", True, host_fault=True)
    return FetchError(
        "broken-connection", f"The connection broke: {error or type(error).__name__}.", True,
        host_fault=True,
    )  # fmt: skip


class Http:
    """The client. Use as an async context."""

    def __init__(self, settings: Collect, budget: ByteBudget) -> None:
        self._settings = settings
        self._budget = budget
        guard = AddressGuard(settings.allow_addresses)
        connector = aiohttp.TCPConnector(
            limit=settings.concurrency * 2,
            resolver=GuardedResolver(guard),
            socket_factory=guard.make_socket,
            ttl_dns_cache=_DNS_SECONDS,
            ssl=ssl.create_default_context(),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": settings.user_agent, "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=settings.connect_timeout,
                sock_read=settings.read_timeout,
            ),
        )

    async def __aenter__(self) -> "Http":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def get(
        self,
        url: URL,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        cut: bool = False,
        keep_errors: bool = False,
    ) -> Reply:
        """GET `url`; the body is read for a status below 300, with `keep_errors` for any.

        A body of more than `max_bytes` (the settings' when None) is an error, or is cut there.
        Raises `FetchError`.
        """
        limit = min(max_bytes or self._settings.max_bytes, self._budget.total)
        share = Share(limit)
        reply: Reply | None = None
        try:
            async with asyncio.timeout(self._settings.total_timeout) as deadline:
                async with self._session.get(
                    url, headers=headers, allow_redirects=False
                ) as response:
                    reply = Reply(str(url), response.status, response.headers)
                    if response.status >= 300 and not keep_errors:
                        response.close()
                        return reply
                    share.most = self._expected(response, limit, cut)
                    reader = BodyReader(self._budget, share, deadline, limit, cut)
                    reply.body = await reader.read(response)
            reply.reserved = min(len(reply.body), share.held)
            return reply
        except FetchError:
            raise
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise _as_fetch_error(error) from error
        finally:
            self._budget.settle(share, reply.reserved if reply is not None else 0)

    def release(self, reply: Reply | None) -> None:
        """Give back what `reply` holds of the budget."""
        if reply is not None and reply.reserved:
            self._budget.give(reply.reserved)
            reply.reserved = 0

    def _expected(self, response: aiohttp.ClientResponse, limit: int, cut: bool) -> int:
        length = response.content_length
        if length is None or response.headers.keys() & {"Content-Encoding", "Transfer-Encoding"}:
            return limit
        if length > limit and not cut:
            raise FetchError("too-large", f"The body is {length} bytes.", status=response.status)
        return min(length, limit)
