"""Every way in which a URL can end, in one run against one web, and that all others go on."""

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web as server
from conftest import outcomes
from web import Web, photo, png_bomb

from catalog.layout import Layout
from catalog.settings.collect import Collect
from catalog.shards import ShardStore
from curation.collect.run import collect


async def _drip(request: server.Request) -> server.StreamResponse:
    response = server.StreamResponse(headers={"Content-Length": "100000"})
    await response.prepare(request)
    for _ in range(100):
        await response.write(b"x")
        await asyncio.sleep(0.1)  # never idle for the read time-out, never done
    return response


async def _silent(request: server.Request) -> server.StreamResponse:
    await asyncio.sleep(5)
    return server.Response()


async def _endless(request: server.Request) -> server.StreamResponse:
    response = server.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"\xff\xd8\xff" * 20_000)


async def _cut_off(request: server.Request) -> server.StreamResponse:
    response = server.StreamResponse(headers={"Content-Length": "100000"})
    await response.prepare(request)
    await response.write(photo(1)[:500])
    assert request.transport is not None
    request.transport.abort()
    return response


def _build(web: Web) -> dict[str, str]:
    """URL to wanted outcome."""
    bomb = gzip.compress(bytes(20_000_000))
    wanted = {web.serve(f"/good/{seed}.jpg", photo(seed)): "stored" for seed in range(20)}
    twice = b"User-agent: *\nDisallow: /closed/\n\nUser-agent: otherbot\nDisallow: /\n"
    web.serve("/robots.txt", twice)
    web.serve("/loop", b"", 302, Location="/loop")
    inside = "http://192.168.0.1/x.jpg"
    wanted |= {
        web.serve("/copy.jpg", photo(3)): "known",
        web.serve("/hop", b"", 301, Location="/good/5.jpg"): "known",
        web.serve("/gz.jpg", gzip.compress(photo(50)), Content_Encoding="gzip"): "stored",
        web.serve("/page.jpg", b"<html>no image</html>", Content_Type="image/jpeg"): "not-an-image",
        web.serve("/empty.jpg"): "not-an-image",
        web.serve("/bomb.png", png_bomb(30_000)): "too-many-pixels",
        web.serve("/gz-bomb.png", bomb, Content_Encoding="gzip"): "too-large",
        web.serve("/brotli.jpg", b"\x01", Content_Encoding="br"): "content-encoding",
        web.serve("/bad-gzip.jpg", b"not gzip", Content_Encoding="gzip"): "content-encoding",
        web.serve("/big.jpg", bytes(400_000)): "too-large",
        web.route("/endless.jpg", _endless): "too-large",
        web.route("/drip.jpg", _drip): "timeout",
        web.route("/silent.jpg", _silent): "timeout",
        web.route("/cut-off.jpg", _cut_off): "broken-connection",
        web.serve("/truncated.jpg", photo(60)[:-400]): "broken-image",
        web.serve("/thumb.jpg", photo(61, size=(32, 32))): "too-small",
        web.serve("/strip.jpg", photo(62, size=(900, 70))): "aspect-ratio",
        web.serve("/closed/1.jpg", photo(63)): "robots-denied",
        web.serve("/to-closed", b"", 302, Location="/closed/1.jpg"): "robots-denied",
        web.base + "/gone.jpg": "http-404",
        web.serve("/forbidden.jpg", b"", 403): "http-403",
        web.serve("/broken.jpg", b"", 500): "http-500",
        web.base + "/loop": "too-many-redirects",
        web.serve("/inside", b"", 302, Location=inside): "address-refused",
        web.serve("/to-file", b"", 302, Location="file:///etc/passwd"): "bad-redirect",
        web.serve("/nowhere", b"", 302): "bad-redirect",
        web.serve("/noai.jpg", photo(64), X_Robots_Tag="noai, noimageai"): "opt-out",
        web.serve("/other.jpg", photo(65), X_Robots_Tag="otherbot: noindex"): "stored",
        web.serve("/tdm.jpg", photo(66), TDM_Reservation="1"): "opt-out",
        "ftp://example.org/x.jpg": "invalid-url",
        "no address": "invalid-url",
        "http://[::1]:1/": "address-refused",
        "http://169.254.169.254/latest/meta-data": "address-refused",
    }
    return wanted


def test_every_url_ends_with_its_reason(
    web: Web, settings: Collect, layout: Layout, url_list: Callable[..., Any]
) -> None:
    wanted = _build(web)
    changed = settings.model_copy(update={"attempts": 2, "host_failures": 100})
    summary = collect([url_list(*wanted)], layout, changed)
    assert summary.folder is not None
    rows = outcomes(summary.folder)
    assert {url: row["outcome"] for url, row in rows.items()} == wanted
    assert summary.outcomes == {o: list(wanted.values()).count(o) for o in set(wanted.values())}

    stored = [row for row in rows.values() if row["outcome"] == "stored"]
    assert sorted(ShardStore(summary.folder).ids()) == sorted(row["image_id"] for row in stored)
    retryable = {row["outcome"] for row in rows.values() if row["retryable"]}
    assert retryable == {"timeout", "broken-connection", "http-500"}
    assert web.seen["/broken.jpg"] == web.seen["/drip.jpg"] == 2
    assert web.seen["/gone.jpg"] == web.seen["/forbidden.jpg"] == 1
    assert web.seen["/robots.txt"] == 1
    assert web.seen["/closed/1.jpg"] == 0
    assert web.seen["/loop"] == 6
    assert rows[web.base + "/hop"]["hops"] == [web.base + "/good/5.jpg"]
    assert rows[web.base + "/hop"]["final_url"] == web.base + "/good/5.jpg"
    sent = web.headers["/good/0.jpg"]
    assert sent["User-Agent"] == settings.user_agent
    assert sent["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("status", "outcome"), [(503, "robots-unreachable"), (404, "stored"), (403, "stored")]
)
def test_robots_is_closed_on_5xx_and_open_on_4xx(
    web: Web,
    settings: Collect,
    layout: Layout,
    url_list: Callable[..., Any],
    status: int,
    outcome: str,
) -> None:
    from catalog.errors import UserError

    web.serve("/robots.txt", b"", status)
    urls = [web.serve(f"/{seed}.jpg", photo(seed)) for seed in range(8)]
    try:
        table = collect([url_list(*urls)], layout, settings).folder
    except UserError:
        (table,) = layout.collecting.glob("*/snapshot")
    assert table is not None
    assert {row["outcome"] for row in outcomes(table).values()} == {outcome}
    if status == 503:
        assert web.seen == {"/robots.txt": settings.attempts}
        assert all(row["retryable"] for row in outcomes(table).values())
