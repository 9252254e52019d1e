"""Snapshots over time: what is new, what changed, what is retried, what may not come back."""

import itertools
import json
import os
import re
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import outcomes
from filelock import FileLock
from web import Web, photo, running_web

from catalog import schemas
from catalog.blocklist import Blocklist
from catalog.errors import UserError
from catalog.images import image_id
from catalog.layout import Layout
from catalog.settings.collect import Collect
from catalog.shards import ShardStore
from catalog.tables import read_table
from curation.collect.history import History, snapshots
from curation.collect.plan import Planner
from curation.collect.run import collect
from curation.collect.sources import Item
from curation.collect.sources.failed import FailedEarlier
from curation.collect.sources.folder import Folder
from curation.collect.sources.url_list import UrlList
from curation.collect.state import State
from curation.collect.takedown import take_down

Urls = Callable[..., Any]


def _photos(web: Web, count: int, start: int = 0) -> list[str]:
    return [web.serve(f"/{n}.jpg", photo(n)) for n in range(start, start + count)]


def test_a_complete_collection_fetches_only_what_is_new(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    urls = _photos(web, 5)
    first = collect([url_list(*urls)], layout, settings)
    assert (first.stored, first.tried) == (5, 5)
    web.seen.clear()
    again = collect([url_list(*urls)], layout, settings)
    assert again.folder is None
    assert again.skipped == {"collected-earlier": 5}
    assert not web.seen
    assert list(layout.collecting.glob("*/")) == []

    more = [*urls, *_photos(web, 2, start=5), web.serve("/copy.jpg", photo(2))]
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
    urls = _photos(web, 2)
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


def test_a_list_read_anew_after_a_kill_counts_no_row_as_repeated(
    layout: Layout, tmp_path: Path, url_list: Urls
) -> None:
    class Killed(UrlList):
        def items(self) -> Iterator[Item]:
            yield from itertools.islice(super().items(), 3000)
            raise KeyboardInterrupt

    urls = [f"http://a.test/{n % 4000}" for n in range(4100)]
    whole, other = url_list(*urls), url_list("http://b.test/1", urls[0], name="other.txt")
    state = State(tmp_path / "state", tmp_path / "shards")
    with History(tmp_path / "history.sqlite", layout.raw, "") as history:
        with pytest.raises(KeyboardInterrupt):
            Planner(state, history, Blocklist(), False, False).run(
                [other, Killed(whole.path, Collect().columns)]
            )
        assert sum(state.counts().values()) == 2 + 2047
        planner = Planner(state, history, Blocklist(), False, False)
        planner.run([other, whole])
    assert planner.skipped == {"repeated": 101}
    assert sum(state.counts().values()) == 2 + 3999
    state.close()


def test_retry_failed_takes_only_failures_that_may_pass(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    urls = [*_photos(web, 2), web.serve("/late.jpg", b"", 503), web.base + "/never.jpg"]
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
    urls = [*_photos(web, 1), web.serve("/small.jpg", photo(5, size=(50, 50)))]
    assert collect([url_list(*urls)], layout, settings).outcomes == {"stored": 1, "too-small": 1}
    loose = settings.model_copy(update={"min_side": 40})
    assert collect([url_list(*urls)], layout, loose).outcomes == {"stored": 1}


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


def test_what_was_taken_down_does_not_come_back(
    web: Web, settings: Collect, layout: Layout, url_list: Urls, tmp_path: Path
) -> None:
    urls = _photos(web, 3)
    collect([url_list(*urls)], layout, settings)
    by_url = take_down(urls[0], "asked by its maker", layout)
    assert by_url.found == [image_id(photo(0))]
    by_id = take_down(image_id(photo(1)), "a face", layout)
    assert by_id.found == [image_id(photo(1))]
    (tmp_path / "file.png").write_bytes(photo(20, "PNG"))
    assert take_down(str(tmp_path / "file.png"), "stolen", layout).found == []
    rows = read_table(layout.blocklist, schemas.BLOCKLIST).to_pylist()
    assert {row["kind"] for row in rows} == {"url", "image_id", "phash"}
    assert take_down(urls[0], "again", layout).added == 0

    elsewhere = [
        urls[0] + "#again",
        web.serve("/moved/0.jpg", photo(0)),
        web.serve("/re-encoded/1.jpg", photo(1, quality=60)),
        web.serve("/other/20.jpg", photo(20)),
        web.serve("/hop", b"", 302, Location="/1.jpg"),
        web.serve("/new.jpg", photo(30)),
    ]
    fresh = Layout(tmp_path / "other")
    fresh.blocklist.parent.mkdir(parents=True)
    fresh.blocklist.write_bytes(layout.blocklist.read_bytes())
    summary = collect([url_list(*elsewhere)], fresh, settings)
    assert summary.outcomes == {"blocked": 5, "stored": 1}
    assert ShardStore(fresh.raw).ids() == [image_id(photo(30))]


def test_takedown_refuses_what_is_nothing(layout: Layout) -> None:
    for what, reason in (("no-such-thing", "why"), ("http://a/b.jpg", "  ")):
        with pytest.raises(UserError):
            take_down(what, reason, layout)
    assert not layout.blocklist.exists()


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
    _photos(web, 3)
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
    _photos(web, 1)
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
        _photos(slow, 3)
        assert collect([source], layout, settings).outcomes == {"stored": 3, "http-404": 2}
        assert slow.seen["/gone.jpg"] == web.seen["/gone.jpg"] == 1


def test_a_folder_is_collected_by_content(
    settings: Collect, layout: Layout, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(photo(1))
    (folder / "deep" / "b.PNG").write_bytes(photo(2, "PNG"))
    (folder / "deep" / "copy.jpeg").write_bytes(photo(1))
    (folder / "lie.jpg").write_bytes(b"<html>")
    (folder / "notes.txt").write_text("no image")
    tight = settings.model_copy(update={"bytes_in_flight": settings.max_bytes})
    summary = collect([Folder(folder)], layout, tight)
    assert summary.outcomes == {"stored": 2, "known": 1, "not-an-image": 1}
    assert 0 < summary.most_in_flight <= settings.max_bytes
    assert {s.provenance["url"] for s in ShardStore(layout.raw).read(ShardStore(layout.raw).ids())
            } == {None}  # fmt: skip
    assert collect([Folder(folder)], layout, settings).skipped == {
        "collected-earlier": 3,
        "failed-earlier": 1,
    }
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError):
        Folder(tmp_path / "empty")
    with pytest.raises(UserError):
        Folder(tmp_path / "absent")
    (Path(os.fsdecode(os.fsencode(tmp_path / "empty") + b"/\xff.jpg"))).write_bytes(photo(1))
    with pytest.raises(UserError, match="not UTF-8"):
        Folder(tmp_path / "empty")


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_provenance_travels_from_the_list_to_the_shard(
    web: Web, settings: Collect, layout: Layout, tmp_path: Path, kind: str
) -> None:
    import pandas as pd

    path = tmp_path / f"list.{kind}"
    row = {
        "link": web.serve("/a.jpg", photo(1)),
        "license": "CC BY 4.0",
        "creator": "Åsa",
        "source_page": "http://a/page",
        "query": "fog, road",
        "extra": 3,
    }
    table = pd.DataFrame([row])
    if kind in ("csv", "tsv"):
        table.to_csv(path, index=False, sep="," if kind == "csv" else "\t")
    elif kind == "jsonl":
        table.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        table.to_parquet(path)
    with pytest.raises(UserError) as caught:
        list(UrlList(path, Collect().columns).items())
    assert "url" in caught.value.what
    columns = Collect().columns.model_copy(update={"url": "link"})
    summary = collect([UrlList(path, columns)], layout, settings)
    assert summary.stored == 1
    store = ShardStore(layout.raw)
    provenance = store.get(store.ids()[0]).provenance
    assert dict(provenance) == {
        "url": row["link"],
        "source": "url-list",
        **{name: row[name] for name in ("license", "creator", "source_page", "query")},
    }


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", 'url,creator\nhttp://a,b\nhttp://a,"b\n' + "x\n" * 70_000, "begins at line 3"),
        ("b.csv", '"url\n' + "x\n" * 70_000, "begins at line 1"),
        ("c.jsonl", '{"url": "http://a"}\n{"url": ' + "[" * 200_000, "Line 2"),
        ("d.jsonl", '\n{"url": ' + "9" * 5000 + "}", "Line 2"),
    ],
    ids=["quote", "quote-in-header", "nesting", "number"],
)
def test_lists_that_the_parser_gives_up_on_are_told_by_line(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as caught:
        list(UrlList(tmp_path / name, Collect().columns).items())
    assert said in caught.value.what
    assert str(tmp_path / name) in caught.value.what
    assert "Mend the line." in caught.value.remedy


def test_damaged_parquet_is_told_in_words(
    web: Web, settings: Collect, layout: Layout, url_list: Urls, tmp_path: Path
) -> None:
    """Pages of a list, its text, and a shard of an earlier snapshot."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "list.parquet"
    table = pa.table({"url": [f"http://a.test/{n}.jpg" for n in range(2000)]})
    pq.write_table(table, path, use_dictionary=False, write_statistics=False)
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"\xff" * 500 + data[600:])
    latin = tmp_path / "latin.parquet"
    raw = pa.array([b"http://a.test/\xe9"]).view(pa.string())
    pq.write_table(pa.table({"url": raw}), latin, write_statistics=False)
    for damaged in (path, latin):
        with pytest.raises(UserError, match=re.escape(f"{damaged} cannot be read")):
            list(UrlList(damaged, Collect().columns).items())

    urls = _photos(web, 1)
    collect([url_list(*urls)], layout, settings)
    (shard,) = layout.raw.rglob("shard-*.parquet")
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"shard-00000\.parquet cannot be read"):
        collect([url_list(*urls, web.base + "/1.jpg")], layout, settings)


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
    urls = _photos(web, 40)
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


def test_what_other_settings_let_through_is_tried_again(
    web: Web, settings: Collect, layout: Layout, url_list: Urls
) -> None:
    """Both after a collection without any image and after one that refused some."""
    web.serve("/robots.txt", b"User-agent: *\nDisallow: /private/")
    urls = [*_photos(web, 2), web.serve("/private/9.jpg", photo(9))]
    closed = settings.model_copy(update={"allow_addresses": ()})
    for _ in range(2):
        with pytest.raises(UserError, match=r"3 address-refused.*127\.0\.0\.1 is not a public"):
            collect([url_list(*urls)], layout, closed)
    opened = collect([url_list(*urls)], layout, settings)
    assert opened.outcomes == {"stored": 2, "robots-denied": 1}
    assert collect([url_list(*urls)], layout, settings).folder is None
    theirs = settings.model_copy(update={"obey_robots": False})
    assert collect([url_list(*urls)], layout, theirs).outcomes == {"stored": 1}
