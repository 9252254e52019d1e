"""Hosts that are reached by redirects are treated as politely as those that are named."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web as server
from conftest import outcomes
from web import Web, photo, running_web

from catalog.layout import Layout
from catalog.settings.collect import Collect
from curation.collect import hosts, robots
from curation.collect.run import collect

Urls = Callable[..., Any]


def _redirects(web: Web, to: Web, count: int) -> list[str]:
    return [web.serve(f"/to/{n}", b"", 302, Location=f"{to.base}/{n}.jpg") for n in range(count)]


def test_retry_after_of_a_host_that_was_redirected_to_makes_that_host_wait(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    at: list[float] = []

    async def limiting(request: server.Request) -> server.StreamResponse:
        at.append(time.monotonic())
        if len(at) == 1:
            return server.Response(status=429, headers={"Retry-After": "1"})
        return server.Response(body=photo(int(request.path.strip("/").split(".")[0])))

    with running_web() as target:
        for n in range(4):
            target.route(f"/{n}.jpg", limiting)
        one = settings.model_copy(update={"host_concurrency": 1})
        assert collect([url_list(*_redirects(web, target, 4))], layout, one).stored == 4
    assert at[1] - at[0] > 0.95


def test_the_limit_of_a_host_holds_for_those_who_are_redirected_to_it(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    async def slow(request: server.Request) -> server.StreamResponse:
        await asyncio.sleep(0.03)
        return server.Response(body=photo(int(request.path.strip("/").split(".")[0])))

    with running_web() as target, running_web() as other:
        for n in range(12):
            target.route(f"/{n}.jpg", slow)
        urls = [*_redirects(web, target, 12)[:6], *_redirects(other, target, 12)[6:]]
        two = settings.model_copy(update={"host_concurrency": 2, "total_timeout": 5})
        assert collect([url_list(*urls)], layout, two).stored == 12
        assert target.most_in_flight == 2


def test_hosts_that_redirect_to_each_other_do_not_wait_for_each_other(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    with running_web() as other:
        urls = [*_redirects(web, other, 8), *_redirects(other, web, 8)]
        for n in range(8):
            web.serve(f"/{n}.jpg", photo(n))
            other.serve(f"/{n}.jpg", photo(100 + n))
        one = settings.model_copy(update={"host_concurrency": 1})
        assert collect([url_list(*urls)], layout, one).stored == 16


def test_a_failing_host_is_left_alone_by_those_who_are_redirected_to_it(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    good = [web.serve(f"/{n}.jpg", photo(n)) for n in range(5)]
    with running_web() as broken:
        for n in range(100):
            broken.serve(f"/{n}.jpg", b"", 500)
        few = settings.model_copy(update={"host_failures": 5})
        summary = collect([url_list(*_redirects(web, broken, 100), *good)], layout, few)
        asked = sum(n for path, n in broken.seen.items() if path != "/robots.txt")
    assert summary.stored == 5
    assert summary.retryable == 100
    assert asked < 5 + settings.host_concurrency + 1


def test_a_redirect_to_a_port_by_another_scheme_says_nothing_of_that_port(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    with running_web() as victim:
        bad = web.serve("/bad", b"", 302, Location=victim.base.replace("http:", "https:") + "/")

        async def slow(request: server.Request) -> server.StreamResponse:
            await asyncio.sleep(0.02)
            return server.Response(body=photo(int(request.path.strip("/"))))

        good = [victim.route(f"/{n}", slow) for n in range(40)]
        one = settings.model_copy(update={"host_concurrency": 1, "attempts": 1})
        summary = collect([url_list(bad, *good)], layout, one)
    assert summary.stored == 40
    assert summary.tried == 41


def test_rows_of_a_host_left_alone_that_nobody_asked_for_may_pass(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    good = web.serve("/1.jpg", photo(1))
    plain = web.base.replace("http:", "https:")  # a server that speaks no TLS
    one = settings.model_copy(update={"host_concurrency": 1, "attempts": 1})
    summary = collect([url_list(good, *(f"{plain}/{n}.jpg" for n in range(50)))], layout, one)
    assert summary.stored == 1
    assert summary.retryable == 49


def test_more_hosts_than_are_open_at_a_time_all_come_to_their_end(
    settings: Collect, layout: Layout, url_list: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "_OPEN", 3)
    monkeypatch.setattr(hosts, "_REFILL", 2)
    monkeypatch.setattr(robots, "_ORIGINS", 2)
    count, each = 10, 5
    with running_web(count) as web:
        wanted: dict[str, str] = {}
        for number in range(count):
            base = f"http://127.0.0.{number + 1}:{web.port}"
            there = f"http://127.0.0.{(number + 4) % count + 1}:{web.port}"
            for n in range(each):
                name = f"/{number}-{n}"
                web.serve(f"{name}.jpg", photo(number * each + n))
                web.serve(f"{name}-hop", b"", 302, Location=f"{there}{name}.jpg")
                web.serve(f"{name}-broken", b"", 503)
                wanted[f"{base}{name}-broken"] = "http-503"
                if n % 2:
                    wanted[f"{base}{name}.jpg"] = "stored"
                else:
                    wanted[f"{base}{name}-hop"] = "stored"
        lenient = settings.model_copy(
            update={"allow_addresses": ("127.0.0.0/8",), "host_failures": 1000, "attempts": 2}
        )
        summary = collect([url_list(*wanted)], layout, lenient)
    assert summary.folder is not None
    assert {url: row["outcome"] for url, row in outcomes(summary.folder).items()} == wanted
