"""Pace, concurrency, back-off: what a server sees of us."""

import email.utils
import time
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from aiohttp import web as server
from conftest import outcomes
from web import Web, photo, running_web

from catalog.layout import Layout
from catalog.settings.collect import Collect
from curation.collect.http import retry_after
from curation.collect.opt_outs import agent_token, directives
from curation.collect.run import collect


class _Clocked:
    """A handler that notes when it was asked, and answers `statuses` in turn, then images."""

    def __init__(self, *statuses: int, **headers: str) -> None:
        self.at: list[float] = []
        self._statuses = list(statuses)
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}

    async def __call__(self, request: server.Request) -> server.StreamResponse:
        self.at.append(time.monotonic())
        if self._statuses:
            return server.Response(status=self._statuses.pop(0), headers=self._headers)
        return server.Response(body=photo(len(self.at)))

    @property
    def gaps(self) -> list[float]:
        return [b - a for a, b in zip(self.at, self.at[1:], strict=False)]


def test_a_host_is_asked_no_faster_than_its_rate_or_its_crawl_delay(
    web: Web, settings: Collect, layout: Layout, url_list: Callable[..., Any]
) -> None:
    slow = settings.model_copy(update={"host_rate": 20})
    handler = _Clocked()
    urls = [web.route(f"/{n}.jpg", handler) for n in range(8)]
    collect([url_list(*urls)], layout, slow)
    assert len(handler.at) == 8
    assert handler.at[-1] - handler.at[0] > 0.85 * 7 / 20

    web.serve("/robots.txt", b"User-agent: mendline\nCrawl-delay: 0.3\n")
    handler = _Clocked()
    urls = [web.route(f"/second/{n}.jpg", handler) for n in range(4)]
    collect([url_list(*urls, name="second.txt")], layout, settings)
    assert len(handler.at) == 4
    assert handler.at[-1] - handler.at[0] > 0.85 * 3 * 0.3


def test_requests_to_one_host_overlap_up_to_its_limit_while_others_go_on(
    web: Web, settings: Collect, layout: Layout, url_list: Callable[..., Any]
) -> None:
    import asyncio

    async def slow(request: server.Request) -> server.StreamResponse:
        await asyncio.sleep(0.05)
        return server.Response(body=photo(int(request.path.strip("/"))))

    limited = settings.model_copy(update={"host_concurrency": 3})
    summary = collect([url_list(*[web.route(f"/{n}", slow) for n in range(20)])], layout, limited)
    assert summary.stored == 20
    assert web.most_in_flight == 3


def test_retry_after_makes_the_host_wait_and_nothing_is_lost(
    web: Web, settings: Collect, layout: Layout, url_list: Callable[..., Any]
) -> None:
    handler = _Clocked(429, Retry_After="1")
    urls = [web.route(f"/{n}.jpg", handler) for n in range(3)]
    one = settings.model_copy(update={"host_concurrency": 1})
    summary = collect([url_list(*urls)], layout, one)
    assert summary.outcomes == {"stored": 3}
    assert handler.gaps[0] > 0.95
    assert sum(row["attempts"] for row in outcomes(summary.folder).values()) == 4


def test_a_host_that_keeps_failing_is_left_alone_and_others_are_not(
    web: Web, settings: Collect, layout: Layout, url_list: Callable[..., Any]
) -> None:
    with running_web() as broken:
        bad = [broken.serve(f"/{n}.jpg", b"", 500) for n in range(400)]
        good = [web.serve(f"/{n}.jpg", photo(n)) for n in range(10)]
        summary = collect(
            [url_list(*bad, *good)], layout, settings.model_copy(update={"host_failures": 5})
        )
        assert summary.stored == 10
        assert sum(summary.outcomes.values()) == 410
        assert summary.outcomes["host-unavailable"] > 380
        assert summary.retryable == 400
        assert sum(broken.seen.values()) < 5 + settings.host_concurrency + 1


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    assert retry_after("7") == 7
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    in_90_seconds = email.utils.formatdate(time.time() + 90, usegmt=True)
    assert 85 < (retry_after(in_90_seconds) or 0) <= 90
    assert retry_after("soon") is None
    assert retry_after(None) is None


def test_directives_apply_to_the_robots_that_they_name() -> None:
    agent = agent_token("mendline/0.1 (+https://example.org)")
    assert agent == "mendline"
    assert directives(["noai, noimageai"], agent) == {"noai", "noimageai"}
    assert directives(["otherbot: noindex, noai"], agent) == set()
    assert directives(["mendline: noindex"], agent) == {"noindex"}
    assert "noindex" in directives(["none"], agent)
    assert "noai" in directives(["unavailable_after: 1 Jan 2030 15:00:00 PST", "noai"], agent)
    when = "unavailable_after: Wed, 25 Jun 2025 15:00:00 GMT"
    assert "noai" in directives([f"{when}, noai"], agent)
    assert "noimageai" in directives(["*: noimageai"], agent)
    assert directives(["otherbot: noai, mendline: noindex, nofollow"], agent) == {
        "noindex",
        "nofollow",
    }


def test_progress_tells_rate_bytes_outcomes_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    from curation.collect import progress
    from curation.collect.rows import Pending, Result

    monkeypatch.setattr(progress, "_EVERY", 0.0)
    item = Pending(1, "k", "u", "h", None, 0, None, None, None)
    with structlog.testing.capture_logs() as said, progress.Progress(10) as bar:
        bar.update([Result(item, "stored", byte_size=3_000_000), Result(item, "http-404")])
    (line,) = said
    assert (line["done"], line["of"]) == (2, 10)
    assert line["outcomes"] == {"stored": 1, "http-404": 1}
    assert line["per_s"] > 0
    assert line["mb_per_s"] > 0
    assert line["left_s"] >= 0


def test_a_run_with_a_time_limit_ends_with_what_it_has(
    web: Web, settings: Collect, layout: Layout, url_list: Callable[..., Any]
) -> None:
    """A host that wants a minute between two requests must not keep a run for days."""
    with running_web() as slow:
        slow.serve("/robots.txt", b"User-agent: *\nCrawl-delay: 60\n")
        waiting = [slow.serve(f"/{n}.jpg", photo(100 + n)) for n in range(40)]
        quick = [web.serve(f"/{n}.jpg", photo(n)) for n in range(10)]
        limited = settings.model_copy(update={"max_minutes": 1.5 / 60, "host_concurrency": 2})
        summary = collect([url_list(*waiting, *quick)], layout, limited)
    assert summary.outcomes == {"stored": 11, "out-of-time": 39}
    assert summary.retryable == 39
    assert summary.seconds < 20
