"""What is collected: lists and folders, as people and other tools write them."""

import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from web import Web, photo, serve_photos

from catalog.blocklist import Blocklist
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.collect import Collect
from catalog.shards import ShardStore
from curation.collect.history import History
from curation.collect.plan import Planner
from curation.collect.run import collect
from curation.collect.sources import Item
from curation.collect.sources.folder import Folder
from curation.collect.sources.url_list import UrlList
from curation.collect.state import State

Urls = Callable[..., Any]


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
        ("e.csv", 'url,query\nhttp://a,b\nhttp://a,"b\nhttp://c,d\n', "begins at line 3"),
        ("f.csv", 'url,query\nhttp://a,"b\nhttp://c,"d"\nhttp://e,f\n', "begins at line 2"),
        ("c.jsonl", '{"url": "http://a"}\n{"url": ' + "[" * 200_000, "Line 2"),
        ("d.jsonl", '\n{"url": ' + "9" * 5000 + "}", "Line 2"),
    ],
    ids=["quote", "quote-in-header", "quote-to-the-end", "quote-to-the-next", "nesting", "number"],
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


def test_a_quoted_value_may_hold_lines_and_quotation_marks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('url,query\nhttp://a,"one\n""two"""\nhttp://b,six"\n')
    found = list(UrlList(tmp_path / "a.csv", Collect().columns).items())
    assert [item.query for item in found] == ['one\n"two"', 'six"']


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

    urls = serve_photos(web, 1)
    collect([url_list(*urls)], layout, settings)
    (shard,) = layout.raw.rglob("shard-*.parquet")
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"shard-00000\.parquet cannot be read"):
        collect([url_list(*urls, web.base + "/1.jpg")], layout, settings)
