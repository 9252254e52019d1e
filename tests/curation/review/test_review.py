"""The review server: real processes over HTTP, a crash, two reviewers, a real browser."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import numpy as np
import pytest

from catalog import images, schemas
from catalog.layout import Layout
from catalog.pairs import pair_id
from catalog.settings.pairs import Pair
from catalog.shards import ShardWriter
from catalog.tables import read_table, write_table
from curation.review.agreement import cohen_kappa, fleiss_kappa
from curation.review.queue import Filter, Queue

REPOSITORY = Path(__file__).parents[3]
PAIRS = 12


def make_tree(root: Path, count: int = PAIRS) -> Layout:
    layout = Layout(root)
    shutil.copy(REPOSITORY / "profiles/embedded.yaml", root / "params.yaml")
    rows = []
    rng = np.random.default_rng(0)
    with ShardWriter(layout.raw / "s") as raw, ShardWriter(layout.targets) as targets:
        for number in range(count):
            ids = []
            for writer in (raw, targets):
                data = images.encode_png(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
                ids.append(writer.add(data, images.read_header(data)))
            rows.append(
                {
                    "pair_id": pair_id(ids[0], ids[1], "haze"),
                    "degraded_id": ids[0],
                    "clean_id": ids[1],
                    "degradation": "haze" if number % 3 else "noise",
                    "origin": "real",
                    "teacher": "classical",
                    "verdict": "keep",
                    "reason": "sound",
                    "severity_degraded": 2.0,
                    "severity_clean": 2.4 + 0.1 * number,
                    "consistency": 0.1,
                    "shift": 0.0,
                }
            )
    write_table(layout.real_pairs, rows, schemas.PAIRS)
    return layout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """`mendline review-pairs` as a process."""

    def __init__(self, root: Path, *options: str, **environment: str) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        code = "from flows.cli import main; main()"
        command = [sys.executable, "-c", code, "review-pairs", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--root", str(root), *options],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
        )
        while True:
            try:
                httpx.get(self.url, timeout=30)
                return
            except httpx.TransportError:
                try:
                    ended = self.process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
                raise AssertionError(f"the server ended with {ended}") from None

    def call(self, method: str, path: str, reviewer: str | None = "ann", **more: Any) -> Any:
        headers = {"X-Mendline-Reviewer": reviewer} if reviewer else {}
        headers |= more.pop("headers", {})
        return httpx.request(method, self.url + path, headers=headers, timeout=60, **more)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    make_tree(tmp_path)
    server = Running(tmp_path, "--share", "1")
    yield server
    server.kill()


def test_two_reviewers_a_crash_and_the_export(running: Running, tmp_path: Path) -> None:
    said: dict[str, dict[str, str]] = {"ann": {}, "bob": {}}
    for reviewer, wishes in (("ann", ["accept"] * 3), ("bob", ["accept", "reject", "unsure"])):
        for wish in wishes:
            pair = running.call("GET", "/api/next", reviewer).json()[0]
            assert pair["pair_id"] not in said[reviewer]
            body = {"pair_id": pair["pair_id"], "decision": wish, "reason": "moved or warped"}
            assert running.call("POST", "/api/decisions", reviewer, json=body).status_code == 200
            said[reviewer][pair["pair_id"]] = wish
    assert list(said["ann"]) == list(said["bob"]), "both see the same doubtful pairs first"
    running.kill()

    again = Running(tmp_path, "--share", "1")
    try:
        assert again.call("GET", "/api/progress").json()["mine"] == 3
        found = again.call("GET", "/api/agreement", "bob").json()
        assert found["shared_pairs"] == 3
        assert len(found["disagreements"]) == 2
        assert again.call("GET", "/api/agreement", "eve").json()["disagreements"] == []
        undone = again.call("POST", "/api/undo", "bob", json={}).json()["pair_id"]
        assert undone == list(said["bob"])[2]
        assert again.call("GET", "/api/progress", "bob").json()["mine"] == 2
    finally:
        again.kill()

    code = "from flows.cli import main; main()"
    command = [sys.executable, "-c", code, "review-pairs", "--export", "--root", str(tmp_path)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(REPOSITORY)})
    rows = read_table(Layout(tmp_path).reviews, schemas.REVIEWS).to_pylist()
    first, second, third = list(said["ann"])
    assert {row["pair_id"]: (row["decision"], row["reviewers"]) for row in rows} == {
        first: ("accept", 2),
        second: ("unsure", 2),
        third: ("accept", 1),
    }


def test_what_must_not_pass_does_not(running: Running, tmp_path: Path) -> None:
    pair = running.call("GET", "/api/next").json()[0]["pair_id"]
    good = {"pair_id": pair, "decision": "accept"}
    assert running.call("POST", "/api/decisions", None, json=good).status_code == 403  # forged form
    evil = {"Host": "evil.example"}
    assert running.call("GET", "/api/next", headers=evil).status_code == 400  # DNS rebinding
    for path in ("/image/../params.yaml", "/image/..%2f..%2fparams.yaml", "/image/" + "0" * 64):
        assert running.call("GET", path).status_code == 404
    for bad in (
        good | {"decision": "maybe"},
        good | {"pair_id": "x"},
        good | {"decision": "reject"},
    ):
        assert running.call("POST", "/api/decisions", json=bad).status_code == 422
    unknown = good | {"pair_id": "0" * 64}
    assert running.call("POST", "/api/decisions", json=unknown).status_code == 404
    page = running.call("GET", "/")
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]

    guarded = Running(tmp_path, MENDLINE_REVIEW_TOKEN="a-token")
    try:
        assert guarded.call("GET", "/").status_code == 401
        assert guarded.call("GET", "/?token=a-token").status_code == 200
        bearer = {"Authorization": "Bearer a-token"}
        assert guarded.call("GET", "/api/next", headers=bearer).status_code == 200
    finally:
        guarded.kill()


def test_an_open_address_wants_a_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from flows.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["review-pairs", "--host", "0.0.0.0", "--root", str(make_tree(tmp_path).root)])
    assert ended.value.code == 1
    assert "MENDLINE_REVIEW_TOKEN" in capsys.readouterr().err


def test_a_pair_that_is_not_shared_goes_to_one_reviewer() -> None:
    pairs = [
        {"pair_id": f"{n:064x}", "degradation": "haze", "teacher": "t", "verdict": "keep"}
        | {"severity_degraded": 2.0, "severity_clean": 3.0 + n, "consistency": 0.1, "shift": 0.0}
        for n in range(40)
    ]
    queue = Queue(pairs, Pair(), share=0.3)
    every = {}
    for reviewer in ("ann", "bob"):
        found = queue.upcoming(reviewer, {}, Filter(), 40)
        every[reviewer] = {pair["pair_id"] for pair in found}
    assert every["ann"] == {pair["pair_id"] for pair in pairs}
    assert every["bob"] == queue.shared
    assert 4 <= len(queue.shared) <= 20
    assert queue.upcoming("ann", {}, Filter(degradation="rain"), 5) == []


def test_kappas_are_those_of_the_literature() -> None:
    # Fleiss (1971) as worked in Wikipedia's example: 14 raters, 10 subjects, 5 categories.
    text = "0 0 0 0 14  0 2 6 4 2  0 0 3 5 6  0 3 9 2 0  2 2 8 1 1  "
    text += "7 7 0 0 0  3 2 6 3 0  2 5 3 2 2  6 5 2 1 0  0 2 2 3 7"
    counts = np.array(text.split(), int).reshape(10, 5)
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)
    first = ["accept"] * 25 + ["reject"] * 25
    second = ["accept"] * 20 + ["reject"] * 5 + ["accept"] * 10 + ["reject"] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    assert fleiss_kappa(np.zeros((0, 3))) is None
    assert cohen_kappa(["accept"], ["accept"]) is None


CHROMIUM = shutil.which("chromium")


class Browser:
    """One page of a headless Chromium, over its debugging protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket, self.number = socket, 0

    async def send(self, method: str, **params: Any) -> Any:
        self.number += 1
        await self.socket.send_json({"id": self.number, "method": method, "params": params})
        while True:
            reply = json.loads((await self.socket.receive(60)).data)
            if reply.get("id") == self.number:
                return reply

    async def run(self, expression: str) -> Any:
        """Value of a promise or expression in the page."""
        options = {"awaitPromise": True, "returnByValue": True}
        reply = await self.send("Runtime.evaluate", expression=expression, **options)
        while "error" in reply:  # the page was replaced while it waited
            reply = await self.send("Runtime.evaluate", expression=expression, **options)
        found = reply["result"]
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            await self.send("Input.dispatchKeyEvent", type=kind, key=key)

    async def until(self, condition: str) -> Any:
        """Wait in the page for a condition; it is looked at when the document changes."""
        return await self.run(
            f"""new Promise((done) => {{
                const look = () => {{
                    const found = document.body && ({condition});
                    if (found) done(found);
                }};
                new MutationObserver(look).observe(document,
                    {{subtree: true, childList: true, attributes: true, characterData: true}});
                look();
            }})"""
        )


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on this machine")
def test_a_person_reviews_by_keyboard_in_a_browser(running: Running, tmp_path: Path) -> None:
    async def review(endpoint: str) -> None:
        async with aiohttp.ClientSession() as session:
            async with session.put(f"{endpoint}/json/new?{running.url}/?reviewer=ann") as reply:
                address = (await reply.json(content_type=None))["webSocketDebuggerUrl"]
            async with session.ws_connect(address, max_msg_size=0) as page:
                browser = Browser(page)
                first = await browser.until("document.body.dataset.ready")
                await browser.press("a")
                ready = "document.body.dataset.ready"
                second = await browser.until(f"{ready} !== '{first}' && {ready}")
                await browser.press("r")
                await browser.until("document.getElementById('why').open")
                await browser.press("2")
                third = await browser.until(f"{ready} !== '{second}' && {ready}")
                await browser.press("u")
                back = await browser.until(f"{ready} !== '{third}' && {ready}")
                assert back == second
                await browser.until(
                    "document.getElementById('progress').textContent.startsWith('you 1,')"
                )
                await browser.press("ArrowRight")
                assert "55" in await browser.run("document.getElementById('stage').style.cssText")

    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    profile = tmp_path / "profile"
    process = subprocess.Popen(
        [str(CHROMIUM), *options, "--remote-debugging-port=0", f"--user-data-dir={profile}"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "DevTools listening on" in line)
        endpoint = "http://" + line.split("ws://")[1].split("/")[0]
        asyncio.run(asyncio.wait_for(review(endpoint), 120))
    finally:
        process.kill()
        process.wait()
    database = tmp_path / ".mendline/reviews.db"
    assert database.exists()
    mine = running.call("GET", "/api/progress").json()["mine"]
    assert mine == 1
