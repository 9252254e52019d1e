"""One answer, or one line of a list, that is odd in its bytes costs that URL alone."""

import asyncio
import gzip
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web as server
from conftest import outcomes
from web import Web, photo

from catalog.blocklist import Blocklist
from catalog.layout import Layout
from catalog.settings.collect import Collect, Columns
from curation.collect.hosts import Hosts
from curation.collect.http import parse_url, retry_after
from curation.collect.outcome import FetchError
from curation.collect.run import _plan, collect
from curation.collect.snapshot import find_work
from curation.collect.sources import Item
from curation.collect.sources.url_list import UrlList
from curation.collect.state import State
from curation.collect.takedown import take_down


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

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()


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


def test_bytes_without_end_after_the_compressed_body_are_not_read(
    web: Web, settings: Collect, layout: Layout, url_list: Callable[..., Any]
) -> None:
    async def endless(request: server.Request) -> server.StreamResponse:
        response = server.StreamResponse(headers={"Content-Encoding": "gzip"})
        await response.prepare(request)
        await response.write(gzip.compress(photo(1)))
        while True:
            await response.write(bytes(60_000))

    summary = collect([url_list(web.route("/1.jpg", endless))], layout, settings)
    assert summary.outcomes == {"stored": 1}


def test_all_members_of_a_gzip_are_read(
    web: Web, settings: Collect, layout: Layout, url_list: Callable[..., Any]
) -> None:
    """RFC 1952, 2.2; bytes that are no member (padding) may follow."""

    def members(seed: int, size: int) -> bytes:
        body = photo(seed, "BMP", size=(200, 150))
        parts = (body[start : start + size] for start in range(0, len(body), size))
        return b"".join(gzip.compress(part) for part in parts)

    broken = members(4, 30_000)
    wanted = {
        web.serve("/2", members(1, 50_000), Content_Encoding="gzip"): "stored",
        web.serve("/many", members(2, 50), Content_Encoding="gzip"): "stored",
        web.serve("/pad", members(3, 999) + bytes(9), Content_Encoding="gzip"): "stored",
        web.serve("/cut", broken[:-20], Content_Encoding="gzip"): "broken-connection",
        web.serve(
            "/empty", gzip.compress(b"") * 12_000, Content_Encoding="gzip"
        ): "content-encoding",
    }
    folder = collect([url_list(*wanted)], layout, settings).folder
    assert folder is not None
    assert {url: row["outcome"] for url, row in outcomes(folder).items()} == wanted


def test_names_that_do_not_resolve_keep_nobody_waiting(
    web: Web,
    settings: Collect,
    layout: Layout,
    url_list: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """40 names whose servers are silent, more than asyncio's own threads on any machine."""
    ended, real = threading.Event(), socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **named: Any) -> Any:
        if str(host).endswith(".silent.test"):
            ended.wait(20)
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        if host == "quick.test":
            ended.set()
            host = "127.0.0.1"
        return real(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    silent = [f"http://{n}.silent.test/1.jpg" for n in range(40)]
    web.serve("/1.jpg", photo(1))
    patient = settings.model_copy(
        update={"concurrency": 48, "total_timeout": 8, "connect_timeout": 8, "attempts": 1}
    )
    began = time.monotonic()
    quick = f"http://quick.test:{web.port}/1.jpg"
    summary = collect([url_list(*silent, quick)], layout, patient)
    assert summary.outcomes == {"stored": 1, "dns": 40}
    assert time.monotonic() - began < 7


def test_a_host_that_is_left_alone_keeps_no_frames_of_those_that_ask(settings: Collect) -> None:
    async def none(host: str, after: int, limit: int) -> list[Any]:
        return []

    async def ask() -> FetchError:
        hosts = Hosts(settings, iter(()), none)
        host = hosts.host("example.org:80")
        host.dead = FetchError("host-unavailable", "It failed.", True)
        for _ in range(100):
            with pytest.raises(FetchError, match="It failed"):
                await hosts.turn(host, 0.0)
        return host.dead

    frame, depth = asyncio.run(ask()).__traceback__, 0
    while frame is not None:
        frame, depth = frame.tb_next, depth + 1
    assert depth == 0


def test_what_is_taken_down_while_a_collection_is_unfinished_is_not_fetched(
    web: Web, settings: Collect, layout: Layout, url_list: Callable[..., Any]
) -> None:
    urls = [web.serve(f"/{seed}.jpg", photo(seed)) for seed in range(2)]
    source = url_list(*urls)
    work = find_work(layout, [source.describe()], settings, "retry=False revisit=False")
    state = State(work.state, work.snapshot / "shards")
    _plan(state, [source], work, layout, settings, (False, False))  # and then it was killed
    state.close()
    take_down(urls[0], "asked by its maker", layout)
    summary = collect([source], layout, settings)
    assert summary.outcomes == {"blocked": 1, "stored": 1}
    assert web.seen["/0.jpg"] == 0


def test_a_source_that_cannot_be_read_costs_its_items_alone(
    web: Web, settings: Collect, layout: Layout, url_list: Callable[..., Any]
) -> None:
    class Vanished:
        name = "vanished"

        def describe(self) -> dict[str, Any]:
            return {"source": self.name}

        def items(self) -> Iterator[Item]:
            yield Item(None, self.name, key="a", locator="a")

        def read(self, locator: str, max_bytes: int) -> bytes:
            raise FileNotFoundError(locator)

    good = url_list(web.serve("/1.jpg", photo(1)))
    summary = collect([Vanished(), good], layout, settings)
    assert summary.outcomes == {"fault": 1, "stored": 1}
