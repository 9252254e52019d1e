"""Teachers behind an image-edit API, against a real server on 127.0.0.1."""

import base64
import email.parser
import errno
import json
import resource
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from catalog import files, images, schemas
from catalog.degradations import Degradation
from catalog.errors import ImageRefused, UserError
from catalog.settings.pairs import ImageApi, Teach
from catalog.shards import ShardStore
from catalog.stage import Counts
from catalog.tables import read_table
from curation.teach import teach
from curation.teach.image_api import ImageApiTeacher
from curation.teach.ledger import Ledger
from curation.teach.refusals import FIRST, IN_A_ROW
from tests.curation.conftest import Tree


class Server(ThreadingHTTPServer):
    """Brightens what it is sent; `failures` are statuses to answer first."""

    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.failures: list[int] = []
        self.error: dict[str, Any] = {}
        self.square = False
        self.model = "editor"
        self.gate: threading.Barrier | None = None

    @property
    def name(self) -> str:
        return f"openai:{self.model}@http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts = email.parser.BytesParser().parsebytes(head + body).get_payload()
        fields = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in parts
        }
        self.server.asked.append(
            fields | {"path": self.path, "key": self.headers.get("Authorization")}
        )
        if self.server.gate:
            self.server.gate.wait(20)
        if self.server.failures:
            error = json.dumps({"error": self.server.error}).encode()
            self.send_response(self.server.failures.pop(0))
            self.send_header("Content-Length", str(len(error)))
            self.end_headers()
            self.wfile.write(error)
            return
        image = images.decode(fields["image"])
        edited = cv2.convertScaleAbs(image, alpha=1.3, beta=12)
        size = (64, 64) if self.server.square else (image.shape[1] // 2, image.shape[0] // 2)
        data = images.encode_png(cv2.resize(edited, size))
        answer = json.dumps({"data": [{"b64_json": base64.b64encode(data).decode()}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def run(tree: Tree, server: Server, pool: dict[str, list[str]] | None = None, **api: Any) -> Counts:
    layout = tree.layout
    settings = Teach(
        teachers=pool or {"default": ["classical"], "flare": [server.name], "haze": [server.name]},
        api=ImageApi(first_wait_s=0, **api),
    )
    return teach(
        layout.raw,
        layout.screening,
        layout.duplicates,
        layout.contamination,
        layout.scratch("teach"),
        layout.targets,
        settings,
    )


def test_targets_come_back_at_exact_size_and_are_not_asked_twice(
    tree: Tree, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MENDLINE_IMAGE_API_KEY", "hidden-key")
    server.gate = threading.Barrier(3)  # all three are under way at once, or it breaks
    counts = run(tree, server)
    server.gate = None
    assert counts.extra["targets"] == {"flare": 1, "haze": 2, "low-light": 2, "noise": 3}
    rows = read_table(tree.layout.targets / "targets.parquet", schemas.TARGETS).to_pylist()
    store = ShardStore(tree.layout.raw, tree.layout.targets)
    for row in rows:
        shapes = [store.get(row[key]).decode().shape for key in ("degraded_id", "clean_id")]
        assert shapes[0] == shapes[1]
    assert len(server.asked) == 3
    assert {asked["path"] for asked in server.asked} == {"/v1/images/edits"}
    assert {asked["key"] for asked in server.asked} == {"Bearer hidden-key"}
    assert {asked["model"] for asked in server.asked} == {b"editor"}
    assert b"Please dehaze the image" in {asked["prompt"] for asked in server.asked}
    for unit in (tree.layout.scratch("teach") / "units").rglob("*.parquet"):
        unit.unlink()
    run(tree, server)
    assert len(server.asked) == 3
    written = [p for p in tree.layout.root.rglob("*") if p.is_file()]
    assert not any(b"hidden-key" in path.read_bytes() for path in written)


def test_a_busy_server_is_asked_again(tree: Tree, server: Server) -> None:
    server.failures = [429, 503]
    assert run(tree, server, concurrency=1).extra["targets"]["haze"] == 2
    assert len(server.asked) == 5


def test_the_cost_cap_stops_before_it_is_exceeded_and_a_higher_one_goes_on(
    tree: Tree, server: Server
) -> None:
    with pytest.raises(UserError, match=r"exceed the cap of 0\.10"):
        run(tree, server, cost_per_image=0.05, max_cost=0.1)
    assert len(server.asked) == 2
    assert not tree.layout.targets.exists()
    run(tree, server, cost_per_image=0.05, max_cost=0.2)
    assert len(server.asked) == 3


def test_a_refusal_is_told_and_an_odd_shape_makes_no_target(tree: Tree, server: Server) -> None:
    server.failures = [401]
    with pytest.raises(UserError, match="answered 401"):
        run(tree, server, concurrency=1)
    assert len(server.asked) == 1
    server.square = True
    counts = run(tree, server)
    assert counts.dropped["wrong-size"] == 3
    assert np.all([key in ("low-light", "noise") for key in counts.extra["targets"]])


def test_a_line_that_a_crash_cut_short_hides_no_later_request(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path, None).spend(0.5, "first")
    with path.open("a") as file:
        file.write('{"cost": 0.')
    Ledger(path, None).spend(0.25, "second")
    assert Ledger(path, None).spent == 0.75


def test_a_full_disk_ends_with_no_request_that_is_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's limit on a file's size stands in for a full disk: a line is cut short."""
    monkeypatch.setattr(files, "_NO_SPACE", {errno.EFBIG})
    ledger = Ledger(tmp_path / "ledger.jsonl", None)
    ledger.spend(0.5, "first")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, old[1]))
    try:
        with pytest.raises(UserError, match="No space left"):
            ledger.spend(0.25, "second")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert ledger.path.stat().st_size == 50
    ledger.spend(0.125, "third")
    assert ledger.spent == 0.625


def test_two_servers_share_one_cap(tree: Tree, server: Server) -> None:
    other = server.name.replace("editor", "painter")
    pool = {"default": ["classical"], "flare": [server.name], "haze": [other]}
    with pytest.raises(UserError, match=r"have cost 0\.20"):
        run(tree, server, pool, cost_per_image=0.1, max_cost=0.2)
    assert len(server.asked) == 2
    run(tree, server, pool, cost_per_image=0.1, max_cost=0.3)
    assert {asked["model"] for asked in server.asked} == {b"editor", b"painter"}
    assert len(server.asked) == 3


def test_an_image_that_moderation_blocks_stops_no_other_and_goes_to_the_next_teacher(
    tree: Tree, server: Server
) -> None:
    server.failures, server.error = [400], {"code": "moderation_blocked", "message": "no"}
    pool = {"default": ["classical"], "flare": [server.name], "haze": [server.name, "classical"]}
    counts = run(tree, server, pool, concurrency=1)
    rows = read_table(tree.layout.targets / "targets.parquet", schemas.TARGETS).to_pylist()
    (blocked,) = [row for row in rows if row["outcome"] == "refused"]
    assert "moderation_blocked" in blocked["detail"]
    others = [row["outcome"] for row in rows if row["degraded_id"] == blocked["degraded_id"]]
    assert len(others) == (2 if blocked["degradation"] == "haze" else 1)
    asked = len(server.asked)
    run(tree, server, pool, concurrency=1)
    assert len(server.asked) == asked, "a refusal is paid for again"
    assert counts.extra["targets"]["haze"] >= 2


def picture(value: int) -> np.ndarray:
    return np.full((32, 32, 3), value, np.uint8)


def api(server: Server, scratch: Path, **settings: Any) -> ImageApiTeacher:
    name = server.name.removeprefix("openai:")
    return ImageApiTeacher(name, ImageApi(first_wait_s=0, **settings), scratch)


@pytest.mark.parametrize("status", [400, 403, 413, 415, 422])
def test_an_image_that_the_server_refuses_stops_no_other(
    tree: Tree, server: Server, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("MENDLINE_IMAGE_API_KEY", "hidden-key")
    server.failures, server.error = [status], {"message": "too small for\nhidden-key", "code": None}
    run(tree, server, concurrency=1, cost_per_image=0.5)
    rows = read_table(tree.layout.targets / "targets.parquet", schemas.TARGETS).to_pylist()
    (refused,) = [row for row in rows if row["outcome"] == "refused"]
    assert f"answered {status}: too small for ***." in refused["detail"]
    written = [p for p in tree.layout.root.rglob("*") if p.is_file()]
    assert not any(b"hidden-key" in path.read_bytes() for path in written)
    ledger = Ledger(tree.layout.scratch("teach") / "image-api/ledger.jsonl", None)
    assert (len(server.asked), ledger.spent) == (3, 1.0)
    run(tree, server, concurrency=1)
    assert len(server.asked) == 3, "a refusal that is sure is asked about again"


@pytest.mark.parametrize("status", [400, 403])
def test_a_server_that_refuses_all_ends_the_stage_early_and_is_asked_again(
    server: Server, tmp_path: Path, status: int
) -> None:
    server.failures, server.error = [status] * 99, {"message": "no model 'editr'"}
    teacher = api(server, tmp_path, cost_per_image=0.5, max_cost=0.5)
    for value in range(FIRST - 1):
        with pytest.raises(ImageRefused, match="no model 'editr'"):
            teacher.restore([picture(value)], Degradation.HAZE)
    with pytest.raises(
        UserError, match=f"refused {FIRST} images in a row, and answered none"
    ) as no:
        teacher.restore([picture(99)], Degradation.HAZE)
    assert not isinstance(no.value, ImageRefused)
    assert "the name of its model" in no.value.remedy
    assert teacher.ledger.spent == 0.0, "what was turned away made no picture"
    # After mending, even those that were refused as images are asked about again.
    server.failures, asked = [], len(server.asked)
    again = api(server, tmp_path, cost_per_image=0.5, max_cost=50.0)
    for value in [*range(FIRST - 1), 99]:
        again.restore([picture(value)], Degradation.HAZE)
    assert len(server.asked) == asked + FIRST
    assert again.ledger.spent == FIRST * 0.5


def test_a_server_that_stops_answering_in_the_middle_is_noticed(
    server: Server, tmp_path: Path
) -> None:
    teacher = api(server, tmp_path)
    teacher.restore([picture(0)], Degradation.HAZE)
    server.failures = [400] * IN_A_ROW
    for value in range(1, IN_A_ROW):
        with pytest.raises(ImageRefused):
            teacher.restore([picture(value)], Degradation.HAZE)
    with pytest.raises(UserError, match=f"refused {IN_A_ROW} images in a row\\. Check"):
        teacher.restore([picture(IN_A_ROW)], Degradation.HAZE)
    server.failures = [400]
    server.error = {"code": "billing_hard_limit_reached", "message": "no money left"}
    with pytest.raises(UserError, match="no money left") as info:
        api(server, tmp_path).restore([picture(200)], Degradation.HAZE)
    assert not isinstance(info.value, ImageRefused)


@pytest.mark.parametrize(
    ("status", "error", "spent"),
    [
        (400, {"code": "moderation_blocked"}, 1.0),
        (400, {"message": "too small"}, 0.25),
        (401, {"message": "key"}, 0.25),
        (500, {}, 1.0),
        (429, {}, 0.25),
    ],
)
def test_what_a_failed_request_costs(
    server: Server, tmp_path: Path, status: int, error: dict[str, str], spent: float
) -> None:
    server.failures, server.error = [status], error
    teacher = api(server, tmp_path, cost_per_image=1.0, cost_per_refusal=0.25, attempts=1)
    with pytest.raises(UserError):
        teacher.restore([picture(1)], Degradation.HAZE)
    assert teacher.ledger.spent == spent


def test_models_that_know_no_response_format_are_sent_none(tree: Tree, server: Server) -> None:
    run(tree, server)
    server.model = "gpt-image-1"
    run(tree, server)
    assert ["response_format" in asked for asked in server.asked] == [True] * 3 + [False] * 3


def test_as_many_requests_are_under_way_as_the_setting_says(server: Server, tmp_path: Path) -> None:
    server.gate = threading.Barrier(110)  # breaks unless all are there at once
    teacher = ImageApiTeacher(
        server.name.removeprefix("openai:"), ImageApi(concurrency=110, attempts=1), tmp_path
    )
    pictures = [np.full((32, 32, 3), value, np.uint8) for value in range(110)]
    with ThreadPoolExecutor(110) as pool:
        found = pool.map(lambda one: teacher.restore([one], Degradation.HAZE), pictures)
        assert len(list(found)) == 110


def test_a_cap_without_a_price_is_refused() -> None:
    with pytest.raises(ValidationError, match="caps nothing while cost_per_image is 0"):
        ImageApi(max_cost=5.0)
