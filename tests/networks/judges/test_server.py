"""The server judge against a real local server, as the API is documented and as it fails."""

import asyncio
import base64
import io
import json
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from PIL import Image

from catalog.degradations import Degradation
from catalog.errors import UserError
from networks.judges import load_judge
from networks.judges.vlm import asking
from networks.judges.vlm.cache import AnswerCache
from networks.judges.vlm.server import Patience, ServerJudge, _seconds

QUICK = Patience(concurrency=3, attempts=3, timeout_s=0.6, first_wait_s=0.01, longest_wait_s=0.05)


class Server:
    """Answers with what `script` holds, in order, then with a score; remembers the requests."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[str | None] = []
        self.active = self.most_active = 0
        self.asked = threading.Event()
        self.three = asyncio.Event()
        """Three requests were under way at once."""
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.active += 1
        self.asked.set()
        self.most_active = max(self.active, self.most_active)
        if self.active >= 3:
            self.three.set()
        try:
            self.requests.append(await request.json())
            self.headers.append(request.headers.get("Authorization"))
            answer = self.script.pop(0) if self.script else "退化分数：3"
            if answer == "with two others":
                await self.three.wait()
                answer = "退化分数：4"
            if answer == "never":
                await asyncio.Event().wait()
            if answer == "hang-up":
                assert request.transport is not None
                request.transport.close()
            if isinstance(answer, int):
                return web.Response(status=answer, text="no", headers={"Retry-After": "0.01"})
            if isinstance(answer, dict):
                return web.Response(**answer)
            if isinstance(answer, bytes):
                return web.Response(body=answer, content_type="application/json")
            message = {"role": "assistant", "content": answer}
            return web.json_response({"choices": [{"index": 0, "message": message}]})
        finally:
            self.active -= 1


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/v1/chat/completions", made.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=0.1)
        await site.start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        ready.set()
        return runner

    def serve() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(10)
    yield made
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def _images(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40, 90, 3), dtype=np.uint8) for _ in range(count)]


def _judge(server: Server, **options: Any) -> ServerJudge:
    return ServerJudge(server.url, "tiny", patience=QUICK, **options)


def test_the_request_is_what_the_released_evaluator_would_show(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MENDLINE_JUDGE_API_KEY", "secret")
    (answer,) = _judge(server).judge(_images(1), Degradation.RAIN)
    assert answer.severity == 3.0
    (body,) = server.requests
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("tiny", 0, 32)
    picture, text = body["messages"][1]["content"]
    assert "“rain”" in text["text"]
    kind, data = picture["image_url"]["url"].split(",")
    assert kind == "data:image/png;base64"
    # 90 x 40 -> 768 x 341 by area -> 756 x 336 by multiples of 28
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (756, 336)
    assert server.headers == ["Bearer secret"]


def test_many_images_are_asked_at_once_but_not_too_many(server: Server) -> None:
    server.script = ["with two others"] * 3
    judge = ServerJudge(server.url, "tiny", patience=Patience(concurrency=3))
    answers = judge.judge(_images(12), Degradation.BLUR)
    assert [answer.severity for answer in answers].count(4.0) == 3
    assert server.most_active == 3


@pytest.mark.parametrize("trouble", [429, 500, 503, "hang-up", "never"])
def test_transport_failures_are_tried_again(server: Server, trouble: Any) -> None:
    server.script = [trouble]
    (answer,) = _judge(server).judge(_images(1), Degradation.BLUR)
    assert answer.severity == 3.0
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("trouble", "words", "requests"),
    [
        ([500] * 9, "answered 500", 3),
        (["never"] * 9, "longer than 0.6 s", 3),
        ([401] * 9, "answered 401: no", 1),
        (["a lovely photo"] * 9, "holds no score", 1),
        (["10 of 10"] * 9, "holds no score", 1),
        ([b"not json"] * 9, "no completion", 1),
        ([b'{"choices": []}'] * 9, "no completion", 1),
        ([b"[" * 200_000] * 9, "no completion", 1),
    ],
)
def test_failures_are_judgements_in_words_and_are_not_cached(
    server: Server, tmp_path: Path, trouble: list[Any], words: str, requests: int
) -> None:
    server.script = list(trouble)
    cache = AnswerCache(tmp_path / "a.sqlite")
    (answer,) = _judge(server, cache=cache).judge(_images(1), Degradation.BLUR)
    assert answer.severity is None
    assert answer.failure is not None
    assert words in answer.failure
    assert len(server.requests) == requests
    server.script = []
    (answer,) = _judge(server, cache=cache).judge(_images(1), Degradation.BLUR)
    assert answer.severity == 3.0


@pytest.mark.parametrize("status", [302, 303, 307, 308])
def test_a_redirect_is_not_followed(server: Server, status: int) -> None:
    server.script = [{"status": status, "headers": {"Location": f"{server.url}/chat/completions"}}]
    (answer,) = _judge(server).judge(_images(1), Degradation.BLUR)
    assert answer.failure == (
        f"the judge's server answered {status}, a redirect to {server.url}/chat/completions"
    )
    assert len(server.requests) == 1


@pytest.mark.parametrize("given", ["secret\n", " secret"])
def test_blanks_around_a_key_are_not_sent(
    server: Server, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("MENDLINE_JUDGE_API_KEY", given)
    assert _judge(server).judge(_images(1), Degradation.BLUR)[0].severity == 3.0
    assert server.headers == ["Bearer secret"]


@pytest.mark.parametrize("given", ["one\ntwo", "Bearer secret", "ключ"])
def test_a_key_that_cannot_be_sent_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("MENDLINE_JUDGE_API_KEY", given)
    with pytest.raises(UserError, match="MENDLINE_JUDGE_API_KEY cannot be sent") as refused:
        ServerJudge("http://127.0.0.1:9/v1", "tiny")
    assert given not in str(refused.value)


def test_a_server_that_is_not_there_is_a_failure() -> None:
    judge = ServerJudge("http://127.0.0.1:9/v1", "tiny", patience=QUICK)
    (answer,) = judge.judge(_images(1), Degradation.BLUR)
    assert answer.failure is not None
    assert "cannot be reached" in answer.failure


def test_answers_are_asked_once_by_image_degradation_prompt_and_model(
    server: Server, tmp_path: Path
) -> None:
    cache = AnswerCache(tmp_path / "a.sqlite")
    first, second = _images(2)
    judge = _judge(server, cache=cache)
    judge.judge([first, second, first], Degradation.BLUR)
    assert len(server.requests) == 2
    judge.judge([second, first], Degradation.BLUR)
    assert len(server.requests) == 2
    judge.judge([first], Degradation.RAIN)
    _judge(server, cache=cache, prompt="paper").judge([first], Degradation.BLUR)
    ServerJudge(server.url, "other", cache=cache).judge([first], Degradation.BLUR)
    assert len(server.requests) == 5


def test_an_image_is_prepared_once_for_all_degradations(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = 0
    prepare = asking.prepare

    def counted(image: np.ndarray) -> Image.Image:
        nonlocal prepared
        prepared += 1
        return prepare(image)

    monkeypatch.setattr(asking, "prepare", counted)
    judge = _judge(server)
    for degradation in Degradation:
        judge.judge(_images(2), degradation)
    assert prepared == 2
    sent = [request["messages"][1]["content"][0]["image_url"]["url"] for request in server.requests]
    assert len(sent) == 18 and len(set(sent)) == 2


def test_it_works_inside_an_event_loop(server: Server) -> None:
    async def inside() -> float | None:
        return _judge(server).judge(_images(1), Degradation.BLUR)[0].severity

    assert asyncio.run(inside()) == 3.0


@pytest.mark.parametrize(
    "url", ["localhost:8000", "http://", "http://a..b/v1", "http://h:99999/v1", "http://[::1/v1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="no http or https URL"):
        ServerJudge(url, "tiny")


def test_a_judge_without_a_models_name_is_refused() -> None:
    with pytest.raises(UserError, match="no model's name"):
        load_judge("openai:http://127.0.0.1:8000/v1")


def test_an_interrupt_ends_the_requests_under_way(server: Server) -> None:
    server.script = ["never"] * 40
    judge = ServerJudge(server.url, "tiny", patience=Patience(concurrency=3, timeout_s=60))

    def interrupt() -> None:
        server.asked.wait(10)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        judge.judge(_images(20), Degradation.BLUR)
    thread.join()
    assert time.monotonic() - started < 20
    assert len(server.requests) <= 3


def test_nonsense_beside_a_score_is_kept(server: Server, tmp_path: Path) -> None:
    content = json.dumps({"choices": [{"message": {"content": "\ud83d退化分数：2"}}]})
    server.script = [content.encode()]
    cache = AnswerCache(tmp_path / "a.sqlite")
    for _ in range(2):
        (answer,) = _judge(server, cache=cache).judge(_images(1), Degradation.BLUR)
        assert answer.severity == 2.0
    assert len(server.requests) == 1


def test_a_revision_is_another_judge_of_the_same_model(server: Server, tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "a.sqlite")
    for name in ("tiny", "tiny#2", "tiny#2"):
        ServerJudge(server.url, name, cache=cache).judge(_images(1), Degradation.BLUR)
    assert [request["model"] for request in server.requests] == ["tiny", "tiny"]


def test_what_is_no_store_of_answers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match="cannot be kept in"):
        AnswerCache(tmp_path / "a.sqlite")


def test_a_store_of_answers_that_breaks_is_said_in_words(tmp_path: Path) -> None:
    place = tmp_path / "a.sqlite"
    cache = AnswerCache(place)
    for number in range(200):
        cache.put(f"{number:0>64}", 3, "x" * 100)
    with closing(sqlite3.connect(place)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = place.read_bytes()
    place.write_bytes(whole[:4096] + b"\x5a" * (len(whole) - 4096))
    for use in (lambda: cache.get("0" * 64), lambda: cache.put("0" * 64, 3, "")):
        with pytest.raises(UserError, match="malformed"):
            use()


def test_a_store_of_another_shape_is_said_in_words(tmp_path: Path) -> None:
    place = tmp_path / "a.sqlite"
    with closing(sqlite3.connect(place)) as database:
        database.execute("CREATE TABLE answers (key TEXT, answer TEXT)")
    with pytest.raises(UserError, match="no such column"):
        AnswerCache(place).get("0" * 64)


@pytest.mark.parametrize("value", [9, 0, "many"])
def test_a_kept_answer_that_is_no_severity_is_asked_again(
    server: Server, tmp_path: Path, value: Any
) -> None:
    cache = AnswerCache(tmp_path / "a.sqlite")
    judge = _judge(server, cache=cache)
    judge.judge(_images(1), Degradation.BLUR)
    with closing(sqlite3.connect(cache.place)) as database, database:
        database.execute("UPDATE answers SET severity = ?", (value,))
    (answer,) = judge.judge(_images(1), Degradation.BLUR)
    assert answer.severity == 3.0
    assert len(server.requests) == 2


def test_retry_after_is_seconds_or_a_date() -> None:
    in_a_minute = datetime.now(UTC) + timedelta(seconds=60)
    assert _seconds("2.5") == 2.5
    assert 50 < _seconds(format_datetime(in_a_minute, usegmt=True)) <= 60
    assert _seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert _seconds("soon") == _seconds(None) == 0
    assert _seconds("Mon, 01 Jan 2024 00:00:00 +99999999999999") == 0
