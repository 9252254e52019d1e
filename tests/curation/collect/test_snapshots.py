"""Snapshots over time: what is new, what changed, what one run leaves for the next."""

import json
import resource
from collections.abc import Callable
from typing import Any

import pytest
from conftest import outcomes
from filelock import FileLock
from web import Web, photo, serve_photos

from catalog.errors import UserError
from catalog.images import image_id
from catalog.layout import Layout
from catalog.settings.collect import Collect
from catalog.shards import ShardStore
from curation.collect.history import snapshots
from curation.collect.run import collect

Urls = Callable[..., Any]


def test_a_complete_collection_fetches_only_what_is_new(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    urls = serve_photos(web, 5)
    first = collect([url_list(*urls)], layout, settings)
    assert (first.stored, first.tried) == (5, 5)
    web.seen.clear()
    again = collect([url_list(*urls)], layout, settings)
    assert again.folder is None
    assert again.skipped == {"collected-earlier": 5}
    assert not web.seen
    assert list(layout.collecting.glob("*/")) == []

    more = [*urls, *serve_photos(web, 2, start=5), web.serve("/copy.jpg", photo(2))]
    third = collect([url_list(*more, more[-1] + "#part")], layout, settings)
    assert third.outcomes == {"stored": 2, "known": 1}
    assert third.skipped == {"collected-earlier": 5, "repeated": 1}
    assert len(ShardStore(layout.raw)) == 7
    assert len(list(layout.raw.iterdir())) == 2
    record = json.loads((third.folder / "snapshot.json").read_text())
    assert record["outcomes"] == third.outcomes
    assert record["sources"][0]["source"] == "url-list"


def test_a_clock_set_back_does_not_make_older_outcomes_win(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    urls = serve_photos(web, 2)
    web.serve("/0.jpg", b"", 404)
    first = collect([url_list(*urls)], layout, settings).folder
    assert first is not None
    ahead = first.rename(first.with_name(f"2099{first.name[4:]}"))
    web.serve("/0.jpg", photo(0))
    second = collect([url_list(*urls)], layout, settings, revisit=True).folder
    assert second is not None
    assert snapshots(layout.raw) == [ahead, second]
    third = collect([url_list(*urls)], layout, settings)
    assert third.skipped == {"collected-earlier": 2}


def test_revisiting_tells_what_changed(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    from aiohttp import web as server

    async def conditional(request: server.Request) -> server.StreamResponse:
        if request.headers.get("If-None-Match") == '"v1"':
            return server.Response(status=304)
        return server.Response(body=photo(1), headers={"ETag": '"v1"'})

    same = web.route("/same.jpg", conditional)
    silent = web.serve("/silent.jpg", photo(2))
    changed = web.serve("/changed.jpg", photo(3), ETag='"a"', Last_Modified="yesterday")
    source = url_list(same, silent, changed)
    collect([source], layout, settings)
    web.serve("/changed.jpg", photo(4), ETag='"b"')
    again = collect([source], layout, settings, revisit=True)
    rows = outcomes(again.folder)
    assert {url: row["outcome"] for url, row in rows.items()} == {
        same: "unchanged",
        silent: "unchanged",
        changed: "stored",
    }
    assert rows[changed]["previous_id"] == image_id(photo(3))
    assert rows[changed]["image_id"] == image_id(photo(4))
    assert rows[changed]["etag"] == '"b"'
    assert rows[changed]["detail"] == "Changed since the last time: bytes, ETag."
    assert rows[same]["detail"] is rows[silent]["detail"] is None
    assert rows[same]["status"] == 304
    assert web.headers["/changed.jpg"]["If-None-Match"] == '"a"'
    assert len(ShardStore(layout.raw)) == 4


def test_no_urls_and_a_second_collection_are_refused(
    settings: Collect, layout: Layout, url_list: Urls
) -> None:
    with pytest.raises(UserError, match="no URLs at all"):
        collect([url_list("# only a comment", "")], layout, settings)
    assert list(layout.collecting.glob("*/")) == []
    with FileLock(layout.collecting / ".lock"), pytest.raises(UserError, match="Another"):
        collect([url_list("http://a/b.jpg")], layout, settings)


def test_a_full_disk_says_so_and_the_next_run_goes_on(
    web: Web, settings: Collect, layout: Layout, url_list: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's limit on a file's size stands in for a full disk: writes fail in the middle."""
    import errno
    import signal

    from catalog import files

    monkeypatch.setattr(files, "_NO_SPACE", {errno.EFBIG})
    urls = serve_photos(web, 40)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, old[1]))
    try:
        with pytest.raises(UserError, match="No space left"):
            collect([url_list(*urls)], layout, settings)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(layout.raw.glob("*"))
    summary = collect([url_list(*urls)], layout, settings)
    assert summary.outcomes == {"stored": 40}
    assert len(ShardStore(layout.raw)) == 40
