"""Serves the small web on 127.0.0.1: four hosts told apart by their ports."""

import contextlib
import csv
import io
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from flows.demo_web.page import Page
from flows.demo_web.site import Site

ADDRESS = "127.0.0.1"
HOSTS = ("photos", "slow", "broken", "closed")
"""A healthy host, one that drips, one whose robots.txt fails, one where nobody listens."""

_DRIP_SECONDS = 2.0
"""Between two bytes of the slow host: patience of any length is used up."""


@dataclass(frozen=True)
class Web:
    """The running web."""

    site: Site
    ports: Mapping[str, int]

    def url(self, page: Page) -> str:
        """Where a page is."""
        return f"http://{ADDRESS}:{self.ports[page.host]}{page.path}"

    def rows(self) -> list[dict[str, str]]:
        """One row a URL, robots.txt left out: url, license, creator, source_page, query."""
        return [
            {
                "url": self.url(page),
                "license": page.license or "",
                "creator": page.creator or "",
                "source_page": f"http://{ADDRESS}:{self.ports[page.host]}/gallery{page.path}.html",
                "query": page.query,
            }
            for page in self.site.pages.values()
            if page.kind != "robots"
        ]

    def url_list(self) -> str:
        """The rows as CSV with a header."""
        buffer = io.StringIO()
        rows = self.rows()
        writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return buffer.getvalue()


def _handler(pages: Mapping[str, Page], host: str, stopped: threading.Event) -> type:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            page = pages.get(f"{host}{self.path.split('?')[0]}")
            if page is None:
                self._answer(404, "text/plain", b"not here\n", {})
                return
            headers = dict(page.headers)
            if headers.get("Location", "").startswith("/"):
                headers["Location"] = f"http://{self.headers['Host']}{headers['Location']}"
            if page.claimed_length is not None:
                headers["Content-Length"] = str(page.claimed_length)
                self.close_connection = True
            self._answer(page.status, page.content_type, page.body, headers)

        do_HEAD = do_GET

        def _answer(self, status: int, kind: str, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            # A client that has seen enough hangs up: that is its right.
            with contextlib.suppress(ConnectionError):
                if host == "slow" and status == 200:
                    for byte in body:
                        self.wfile.write(bytes([byte]))
                        if stopped.wait(_DRIP_SECONDS):
                            self.close_connection = True
                            return
                else:
                    self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the collector reports what it met."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is no error of the server."""


def _bind(port: int, handler: type) -> _Server:
    try:
        return _Server((ADDRESS, port), handler)
    except OSError:
        return _Server((ADDRESS, 0), handler)


def _closed_port(wanted: int) -> int:
    """A port where nobody listens (now)."""
    with socket.socket() as probe:
        try:
            probe.bind((ADDRESS, wanted))
        except OSError:
            probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(site: Site, ports: Mapping[str, int] | None = None) -> Iterator[Web]:
    """Serve `site` until the block ends; `ports` are taken again where they are free.

    URLs hold the port, so a caller that wants the same URLs as last time gives the last ports.
    """
    ports = ports or {}
    stopped = threading.Event()
    servers = {
        host: _bind(ports.get(host, 0), _handler(site.pages, host, stopped))
        for host in HOSTS
        if host != "closed"
    }
    taken = {host: int(server.server_address[1]) for host, server in servers.items()}
    taken["closed"] = _closed_port(ports.get("closed", 0))
    threads = [
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
        for server in servers.values()
    ]
    for thread in threads:
        thread.start()
    try:
        yield Web(site, taken)
    finally:
        stopped.set()
        for server in servers.values():
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()
