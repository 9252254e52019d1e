"""One answer, or one line of a list, that is odd in its bytes costs that URL alone."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import outcomes
from web import Web, photo

from catalog.layout import Layout
from catalog.settings.collect import Collect, Columns
from curation.collect.blocklist import Blocklist
from curation.collect.http import parse_url, retry_after
from curation.collect.outcome import FetchError
from curation.collect.run import collect
from curation.collect.sources.url_list import UrlList


@contextmanager
def _raw(answers: dict[str, bytes]) -> Iterator[str]:
    """A server of bytes as they are, by path; yields http://127.0.0.1:PORT."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            path = self.rfile.readline().split()[1].decode()
            while self.rfile.readline().strip():
                pass
            missing = b"HTTP/1.1 404 No\r\nContent-Length: 0"
            head, _, body = answers.get(path, missing).partition(b"\r\n\r\n")
            self.wfile.write(head + b"\r\nConnection: close\r\n\r\n" + body)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _image(seed: int, header: bytes = b"X: y") -> bytes:
    body = photo(seed)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n\r\n%s" % (len(body), header, body)


def test_odd_bytes_in_headers_cost_one_url(
    settings: Collect, layout: Layout, url_list: Callable[..., Any]
) -> None:
    answers = {
        "/good": _image(1),
        "/etag": _image(2, b'ETag: "\xff\xfe"'),
        "/wait": b"HTTP/1.1 429 X\r\nRetry-After: \xc2\xb2\r\nContent-Length: 0",
        "/brackets": b"HTTP/1.1 302 X\r\nLocation: http://_-\xc3\xa9[]^@#\r\nContent-Length: 0",
        "/unasked": b"HTTP/1.1 304 Not Modified",
    }
    with _raw(answers) as base:
        quick = settings.model_copy(update={"attempts": 1})
        urls = [base + path for path in answers] + ["http://[x~:]/"]
        summary = collect([url_list(*urls)], layout, quick)
    assert summary.folder is not None
    found = {url.rpartition("/")[2]: row for url, row in outcomes(summary.folder).items()}
    assert {name: row["outcome"] for name, row in found.items()} == {
        "good": "stored",
        "etag": "stored",
        "wait": "http-429",
        "brackets": "bad-redirect",
        "unasked": "http-304",
        "": "invalid-url",
    }
    assert found["etag"]["etag"] == '"??"'


def test_halves_of_characters_in_a_list_are_replaced(
    web: Web, settings: Collect, layout: Layout, tmp_path: Path
) -> None:
    rows = [
        {"url": web.serve("/1.jpg", photo(1)), "creator": "Ann \ud83d"},
        {"url": web.base + "/\ud83d"},
    ]
    path = tmp_path / "list.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    summary = collect([UrlList(path, Columns())], layout, settings)
    assert summary.folder is not None
    assert summary.stored == 1
    assert outcomes(summary.folder)[web.base + "/1.jpg"]["creator"] == "Ann ?"


@pytest.mark.parametrize("text", ["http://[x~:]", "http://_-é[]^@##", "http://[:n^]/ⓛ"])
def test_hosts_that_cannot_be_taken_apart_are_invalid(text: str) -> None:
    with pytest.raises(FetchError, match=r"cannot be read|names no host"):
        parse_url(text)
    assert not Blocklist(frozenset({"http://example.org/"})).blocks_url(text)


def test_a_retry_after_of_other_digits_is_none() -> None:
    assert retry_after("²") is None
    assert retry_after("9" * 400) == float("inf")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org:80/a.jpg",
        "https://example.org/a.jpg",
        "https://example.org:443/a.jpg",
        "http://example.org./a.jpg",
        "http://me:too@example.org/a.jpg#x",
    ],
)
def test_a_taken_down_url_is_known_by_every_spelling(url: str) -> None:
    taken_down = Blocklist(frozenset({"http://example.org/a.jpg"}))
    assert taken_down.blocks_url(url)
    assert not taken_down.blocks_url(url.replace("a.jpg", "b.jpg"))
    assert not taken_down.blocks_url("http://example.org:8080/a.jpg")
