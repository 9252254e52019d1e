"""robots.txt as servers write it, by mistake or on purpose."""

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from conftest import outcomes
from web import Web, photo

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.collect import Collect
from curation.collect import hosts, robots
from curation.collect.robots import parse_rules
from curation.collect.run import collect


def test_a_byte_order_mark_does_not_open_what_is_closed(
    web: Web, settings: Collect, layout: Layout, url_list: Callable[..., Any]
) -> None:
    web.serve("/robots.txt", b"\xef\xbb\xbfUser-agent: *\nDisallow: /closed/\n")
    urls = [web.serve("/closed/1.jpg", photo(1)), web.serve("/2.jpg", photo(2))]
    summary = collect([url_list(*urls)], layout, settings)
    assert summary.folder is not None
    found = outcomes(summary.folder)
    assert [found[url]["outcome"] for url in urls] == ["robots-denied", "stored"]


def test_many_names_and_many_rules_take_little_time_and_memory() -> None:
    names = "".join(f"useragent:{n:x}\n" for n in range(4_000))
    rules = "".join(f"allow:/{n:x}\n" for n in range(6_000))
    began = time.process_time()
    tracemalloc.start()
    found = parse_rules(f"{names}user-agent: mendline\n{rules}disallow: /closed\n", "mendline")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 60e6  # 24 million rules otherwise
    assert time.process_time() - began < 10
    assert not found.can_fetch("http://h/closed/1", "mendline")


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("User-agent: a\nUser-agent: mendline\nDisallow: /x", False),
        ("User-agent: mendline\nUser-agent: a\nDisallow: /x", False),
        ("User-agent: a\nDisallow: /x\n\nUser-agent: mendline\nDisallow: /y", True),
        ("User-agent: *\nDisallow: /x\nUser-agent: mendline\nAllow: /", True),
        ("User-agent: *\nDisallow: /\nUser-agent: other\nAllow: /", False),
        ("User-agent: other\nDisallow: /", True),
        ("User-Agent mendline # us\nDisallow: /x", False),
        ("useragent: MendLine*\nDisallow: /x", False),
        ("Disallow: /x", True),
    ],
)
def test_rules_of_other_robots_change_nothing(text: str, allowed: bool) -> None:
    assert parse_rules(text, "mendline").can_fetch("http://h/x", "mendline") is allowed


def test_a_long_retry_after_of_robots_is_not_asked_again(
    web: Web, settings: Collect, layout: Layout, url_list: Callable[..., Any]
) -> None:
    web.serve("/robots.txt", b"", 429, Retry_After="3600")
    with pytest.raises(UserError, match="robots-unreachable"):
        collect(
            [url_list(web.serve("/1.jpg", photo(1)))],
            layout,
            settings.model_copy(update={"max_crawl_delay": 0.1}),
        )
    assert web.seen["/robots.txt"] == 1


def test_rules_of_all_hosts_that_take_turns_are_kept() -> None:
    assert robots._ORIGINS >= 2 * hosts._OPEN  # http and https of each
