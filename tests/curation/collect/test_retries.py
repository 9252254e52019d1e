"""What failed or was left out, and when it is tried again."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import outcomes
from web import Web, photo, running_web, serve_photos

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.collect import Collect
from catalog.shards import ShardStore
from curation.collect.run import collect
from curation.collect.sources.failed import FailedEarlier

Urls = Callable[..., Any]


def test_retry_failed_takes_only_failures_that_may_pass(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    urls = [*serve_photos(web, 2), web.serve("/late.jpg", b"", 503), web.base + "/never.jpg"]
    first = collect([url_list(*urls)], layout, settings)
    assert first.retryable == 1
    assert collect([url_list(*urls)], layout, settings).skipped == {
        "collected-earlier": 2,
        "failed-earlier-may-pass": 1,
        "failed-earlier": 1,
    }
    web.serve("/late.jpg", photo(9))
    web.seen.clear()
    retried = collect([FailedEarlier(layout.raw)], layout, settings, retry_failed=True)
    assert retried.outcomes == {"stored": 1}
    assert web.seen == {"/robots.txt": 1, "/late.jpg": 1}
    row = outcomes(retried.folder)[web.base + "/late.jpg"]
    assert (row["source"], row["url"]) == ("url-list", web.base + "/late.jpg")
    assert collect([FailedEarlier(layout.raw)], layout, settings, retry_failed=True).tried == 0


def test_looser_filters_take_what_stricter_ones_left_out(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    urls = [*serve_photos(web, 1), web.serve("/small.jpg", photo(5, size=(50, 50)))]
    assert collect([url_list(*urls)], layout, settings).outcomes == {"stored": 1, "too-small": 1}
    loose = settings.model_copy(update={"min_side": 40})
    assert collect([url_list(*urls)], layout, loose).outcomes == {"stored": 1}


def test_every_url_dead_makes_no_snapshot_and_the_same_command_asks_anew(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    urls = [web.serve(f"/{n}.jpg", b"", 503) for n in range(3)]
    source = url_list(*urls, web.base + "/gone.jpg")
    with pytest.raises(UserError) as caught:
        collect([source], layout, settings)
    assert "3 of them may pass" in caught.value.remedy
    assert not layout.raw.exists() or not list(layout.raw.iterdir())
    (table,) = layout.collecting.glob("*/snapshot/outcomes.parquet")
    assert {row["outcome"] for row in outcomes(table).values()} == {"http-503", "http-404"}
    serve_photos(web, 3)
    assert collect([source], layout, settings).outcomes == {"stored": 3, "http-404": 1}
    assert web.seen["/gone.jpg"] == 2


def test_what_failed_for_good_everywhere_is_asked_anew_by_the_same_command(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    """Files that are put on the server later, and a server that wants to be told who asks."""
    from aiohttp import web as server

    async def choosy(request: server.Request) -> server.StreamResponse:
        known = "mail@a.test" in request.headers["User-Agent"]
        return server.Response(body=photo(7)) if known else server.Response(status=403)

    source = url_list(web.base + "/0.jpg", web.route("/choosy.jpg", choosy), "no address")
    for _ in range(2):
        web.seen.clear()
        with pytest.raises(UserError, match="1 http-404") as caught:
            collect([source], layout, settings)
        assert "asks for all of them anew" in caught.value.remedy
        assert web.seen["/0.jpg"] == web.seen["/choosy.jpg"] == 1
        assert len(list(layout.collecting.glob("*/"))) == 1
    serve_photos(web, 1)
    named = settings.model_copy(update={"user_agent": "Mendline (mail@a.test)"})
    summary = collect([source], layout, named)
    assert summary.outcomes == {"stored": 2, "invalid-url": 1}
    assert list(layout.collecting.glob("*/")) == []


def test_work_begun_anew_knows_what_was_collected_meanwhile(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    urls = [web.base + "/0.jpg", web.base + "/1.jpg"]
    with pytest.raises(UserError, match="No image"):
        collect([url_list(*urls)], layout, settings)
    web.serve("/0.jpg", photo(0))
    web.serve("/1.jpg", photo(0))
    collect([url_list(urls[0], name="other.txt")], layout, settings)
    again = collect([url_list(*urls)], layout, settings)
    assert (again.outcomes, again.skipped) == ({"known": 1}, {"collected-earlier": 1})
    assert len(ShardStore(layout.raw)) == 1


def test_a_run_whose_time_was_over_without_an_image_goes_on_with_the_rest(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    """URLs that are gone must not use up the time of every run."""
    with running_web() as slow:
        slow.serve("/robots.txt", b"User-agent: *\nCrawl-delay: 60\n")
        waiting = [slow.base + "/gone.jpg", *(f"{slow.base}/{n}.jpg" for n in range(3))]
        source = url_list(*waiting, web.base + "/gone.jpg")
        limited = settings.model_copy(update={"max_minutes": 1.5 / 60})
        with pytest.raises(UserError, match="out-of-time"):
            collect([source], layout, limited)
        slow.serve("/robots.txt", b"", 404)
        serve_photos(slow, 3)
        assert collect([source], layout, settings).outcomes == {"stored": 3, "http-404": 2}
        assert slow.seen["/gone.jpg"] == web.seen["/gone.jpg"] == 1


def test_what_other_settings_let_through_is_tried_again(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    """Both after a collection without any image and after one that refused some."""
    web.serve("/robots.txt", b"User-agent: *\nDisallow: /private/")
    urls = [*serve_photos(web, 2), web.serve("/private/9.jpg", photo(9))]
    closed = settings.model_copy(update={"allow_addresses": ()})
    for _ in range(2):
        with pytest.raises(UserError, match=r"3 address-refused.*127\.0\.0\.1 is not a public"):
            collect([url_list(*urls)], layout, closed)
    opened = collect([url_list(*urls)], layout, settings)
    assert opened.outcomes == {"stored": 2, "robots-denied": 1}
    assert collect([url_list(*urls)], layout, settings).folder is None
    theirs = settings.model_copy(update={"obey_robots": False})
    assert collect([url_list(*urls)], layout, theirs).outcomes == {"stored": 1}
