"""Images of WARC files, plain and gzipped."""

import gzip
import io
from pathlib import Path

import pytest
from conftest import outcomes
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter
from web import Web, photo

from catalog import schemas
from catalog.errors import UserError
from catalog.images import image_id
from catalog.layout import Layout
from catalog.settings.collect import Collect
from catalog.shards import ShardStore
from catalog.tables import read_table, write_table
from curation.collect.run import collect
from curation.collect.sources.failed import FailedEarlier
from curation.collect.sources.url_list import UrlList
from curation.collect.sources.warc import Warc


def _write(path: Path, zipped: bool, records: list[tuple[str, str, bytes, dict[str, str]]]) -> None:
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=zipped)
        for url, status, body, headers in records:
            named = [("Content-Type", "image/jpeg"), ("Content-Length", str(len(body)))]
            named = [*((k, v) for k, v in named if k not in headers), *headers.items()]
            writer.write_record(
                writer.create_warc_record(
                    url,
                    "response",
                    payload=io.BytesIO(body),
                    http_headers=StatusAndHeaders(status, named, protocol="HTTP/1.1"),
                )
            )


@pytest.mark.parametrize("zipped", [False, True])
def test_images_of_an_archive_are_collected_without_the_network(
    settings: Collect, layout: Layout, tmp_path: Path, zipped: bool
) -> None:
    records = [(f"http://a.test/{n}.jpg", "200 OK", photo(n), {}) for n in range(6)]
    records += [
        ("http://a.test/page", "200 OK", b"<html>", {"Content-Type": "text/html"}),
        ("http://a.test/gone.jpg", "404 Not Found", photo(9), {}),
        ("http://a.test/no.jpg", "200 OK", photo(10), {"X-Robots-Tag": "noai"}),
        ("http://a.test/me.jpg", "200 OK", photo(12), {"X-Robots-Tag": "mendline: noai"}),
        ("http://a.test/z.jpg", "200 OK", gzip.compress(photo(11)), {"Content-Encoding": "gzip"}),
        ("http://a.test/bomb.jpg", "200 OK", gzip.compress(bytes(9_000_000)),
         {"Content-Encoding": "gzip"}),
    ]  # fmt: skip
    path = tmp_path / "crawl.warc"
    _write(path, zipped, records)
    summary = collect([Warc(path, settings)], layout, settings)
    rows = outcomes(summary.folder)
    wanted = {f"http://a.test/{n}.jpg": "stored" for n in range(6)}
    wanted |= {
        "http://a.test/no.jpg": "opt-out",
        "http://a.test/me.jpg": "opt-out",
        "http://a.test/z.jpg": "stored",
        "http://a.test/bomb.jpg": "too-large",
    }
    assert {url: row["outcome"] for url, row in rows.items()} == wanted
    store = ShardStore(layout.raw)
    assert store.get(store.ids()[0]).provenance["source"] == "warc"


def test_records_that_failed_are_read_from_the_archive_again_and_never_from_the_web(
    web: Web, settings: Collect, layout: Layout, tmp_path: Path
) -> None:
    urls = [web.serve(f"/{n}.jpg", photo(20 + n)) for n in range(2)]
    path = tmp_path / "crawl.warc"
    _write(path, False, [(url, "200 OK", photo(n), {}) for n, url in enumerate(urls)])
    late = web.serve("/late.jpg", b"", 503)
    (tmp_path / "urls.txt").write_text(late)
    listed = UrlList(tmp_path / "urls.txt", settings.columns)
    whole = Warc(path, settings)
    first = collect([listed, whole], layout, settings).folder
    assert first is not None
    _leave_out(first, urls[1])
    web.serve("/late.jpg", photo(30))
    web.seen.clear()
    rest = collect([FailedEarlier(layout.raw)], layout, settings, retry_failed=True)
    assert (rest.outcomes, rest.skipped) == ({"stored": 1}, {"in-an-archive": 1})
    assert web.seen == {"/robots.txt": 1, "/late.jpg": 1}
    again = collect([whole], layout, settings, retry_failed=True)
    assert (again.outcomes, again.skipped) == ({"known": 1}, {"not-a-failure": 1})
    assert outcomes(again.folder)[urls[1]]["image_id"] == image_id(photo(1))
    assert web.seen == {"/robots.txt": 1, "/late.jpg": 1}


def _leave_out(snapshot: Path, url: str) -> None:
    """Make the outcome table of `snapshot` one whose time was over before `url`."""
    table = snapshot / "outcomes.parquet"
    rows = read_table(table, schemas.OUTCOMES).to_pylist()
    (row,) = (row for row in rows if row["url"] == url)
    row |= {"outcome": "out-of-time", "retryable": True, "image_id": None}
    write_table(table, rows, schemas.OUTCOMES)


def test_what_is_no_warc_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.warc").write_bytes(b"not a warc\r\n\r\n" * 10)
    with pytest.raises(UserError):
        list(Warc(tmp_path / "x.warc", Collect()).items())


@pytest.mark.parametrize("damage", ["uri", "gzip"])
def test_a_damaged_archive_is_told_in_words(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.warc"
    zipped = damage == "gzip"
    _write(path, zipped, [(f"http://a.test/{n}", "200 OK", photo(n), {}) for n in (1, 2)])
    data = path.read_bytes()
    if zipped:
        data = data[:40] + bytes(40) + data[80:]
    else:
        data = data.replace(b"WARC-Target-URI", b"WARC-Target-URL", 1)
    path.write_bytes(data)
    with pytest.raises(UserError, match="no WARC that can be read"):
        list(Warc(path, Collect()).items())
