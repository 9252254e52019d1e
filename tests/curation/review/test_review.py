"""The review server: real processes over HTTP, a crash, two reviewers, a real browser."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from catalog import images, schemas
from catalog.layout import Layout
from catalog.pairs import pair_id
from catalog.settings.pairs import Pair
from catalog.shards import ShardStore, ShardWriter
from catalog.tables import read_table, write_table
from curation.collect.takedown import take_down
from curation.review.agreement import agreement, cohen_kappa, fleiss_kappa
from curation.review.app import make_app
from curation.review.decisions import Decision, Decisions
from curation.review.queue import Filter, Queue, doubt
from flows.cli.review_pairs import _names
from tests.evaluation.browser import CHROMIUM, Page, chromium

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

    def __init__(self, root: Path, *options: str, port: int = 0, **environment: str) -> None:
        self.port = port or _free_port()
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


def test_a_port_that_is_taken_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from flows.cli import main

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with pytest.raises(SystemExit) as ended:
            main(["review-pairs", "--port", port, "--root", str(make_tree(tmp_path).root)])
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert f"127.0.0.1:{port} cannot be listened on: Address already in use." in said.err
    assert "Ctrl-C" not in said.out


def test_an_image_that_was_taken_down_is_not_shown(tmp_path: Path) -> None:
    layout = make_tree(tmp_path)
    gone = read_table(layout.real_pairs, schemas.PAIRS).to_pylist()[0]
    take_down(gone["degraded_id"], "asked by its maker", layout)
    server = Running(tmp_path)
    try:
        assert server.call("GET", "/api/progress").json()["pairs"] == PAIRS - 1
        assert server.call("GET", f"/api/pair/{gone['pair_id']}").status_code == 404
        for side in ("degraded_id", "clean_id"):
            assert server.call("GET", f"/image/{gone[side]}").status_code == 404
        first = server.call("GET", "/api/next").json()[0]
        assert server.call("GET", f"/image/{first['degraded_id']}").status_code == 200
    finally:
        server.kill()


def test_the_page_opens_at_an_address_of_ipv6(tmp_path: Path) -> None:
    layout = make_tree(tmp_path)
    rows = read_table(layout.real_pairs, schemas.PAIRS).to_pylist()
    decisions = Decisions(tmp_path / "reviews.db")
    app = make_app(rows, ShardStore(layout.raw), decisions, Pair(), 1.0, _names("::1"))
    assert TestClient(app, "http://[::1]:8712").get("/").status_code == 200
    assert TestClient(app, "http://[::2]:8712").get("/").status_code == 400


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


def test_one_pair_that_many_saw_does_not_stand_for_all() -> None:
    def said(pair: str, *words: str) -> dict[str, Decision]:
        return {name: Decision(pair, name, w) for name, w in zip("abc", words, strict=False)}

    decided = {f"{n}": said(f"{n}", *["accept", "reject"][:: (-1) ** n]) for n in range(20)}
    decided["all"] = said("all", "accept", "accept", "accept")
    fleiss = agreement(decided)["fleiss"]
    assert fleiss is not None, "only the pair that three saw was counted"
    assert fleiss < -0.8


def test_who_leaves_takes_no_pair_with_them() -> None:
    pairs = [
        {"pair_id": f"{n:064x}", "degradation": "haze", "teacher": "t", "verdict": "keep"}
        | {"severity_degraded": 2.0, "severity_clean": 3.0, "consistency": 0.1, "shift": 0.0}
        for n in range(6)
    ]
    seconds = [0.0]
    queue = Queue(pairs, Pair(), 0.0, lambda: seconds[0])
    assert len(queue.upcoming("ann", {}, Filter(), 3)) == 3
    seconds[0] = 600.0
    assert len(queue.upcoming("bob", {}, Filter(), 6)) == 3
    assert len(queue.upcoming("ann", {}, Filter(), 6)) == 3, "asking keeps one's pairs"
    seconds[0] = 1499.0
    assert len(queue.upcoming("bob", {}, Filter(), 6)) == 3
    seconds[0] = 1500.0
    assert len(queue.upcoming("bob", {}, Filter(), 6)) == 6


def test_decisions_on_pairs_that_are_gone_are_neither_counted_nor_undone(tmp_path: Path) -> None:
    layout = make_tree(tmp_path)
    rows = read_table(layout.real_pairs, schemas.PAIRS).to_pylist()
    gone = Decision(rows[0]["pair_id"], "ann", "accept")
    decisions = Decisions(tmp_path / "reviews.db")
    decisions.decide(Decision(rows[1]["pair_id"], "ann", "unsure"))
    decisions.decide(gone)
    app = make_app(rows[1:], ShardStore(layout.raw, layout.targets), decisions, Pair(), 1.0)
    client = TestClient(app, "http://localhost", headers={"X-Mendline-Reviewer": "ann"})
    assert client.get("/api/progress").json()["team"] == 1
    assert client.post("/api/undo", json={}).json() == {"pair_id": rows[1]["pair_id"]}
    assert client.post("/api/undo", json={}).json() == {"pair_id": None}
    assert decisions.all() == [gone]


def test_kappas_are_those_of_the_literature() -> None:
    # Fleiss (1971) as worked in Wikipedia's example: 14 raters, 10 subjects, 5 categories.
    text = "0 0 0 0 14  0 2 6 4 2  0 0 3 5 6  0 3 9 2 0  2 2 8 1 1  "
    text += "7 7 0 0 0  3 2 6 3 0  2 5 3 2 2  6 5 2 1 0  0 2 2 3 7"
    counts = np.array(text.split(), int).reshape(10, 5)
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)
    first = ["accept"] * 25 + ["reject"] * 25
    second = ["accept"] * 20 + ["reject"] * 5 + ["accept"] * 10 + ["reject"] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    # Pairs that fewer have seen count by their own ratings: 1, 1/3 and 0 agree, 5 : 3 by chance.
    uneven = np.array([[3, 0, 0], [1, 2, 0], [1, 1, 0]])
    assert fleiss_kappa(uneven) == pytest.approx((4 / 9 - 34 / 64) / (1 - 34 / 64))
    assert fleiss_kappa(np.zeros((0, 3))) is None
    assert cohen_kappa(["accept"], ["accept"]) is None


READY = "document.body.dataset.ready"
PIXELS = "['before', 'after'].map((id) => $(id).toDataURL())"


def until(page: Page, condition: str) -> Any:
    """Wait in the page for a condition; it is looked at when the document changes."""
    return page.run(
        f"""new Promise((done) => {{
            const look = () => {{ const found = {condition}; if (found) done(found); }};
            new MutationObserver(look).observe(document,
                {{subtree: true, childList: true, attributes: true, characterData: true}});
            look();
        }})"""
    )


def open_page(page: Page, running: Running, reviewer: str) -> str:
    """Go to the page; the id of the first pair, once it is on the screen."""
    page.events.clear()
    for domain in ("Page", "Runtime"):
        page.send(f"{domain}.enable")
    page.send("Page.navigate", url=f"{running.url}/?reviewer={reviewer}")
    page.wait_for("Page.loadEventFired")
    return str(until(page, READY))


def decide(page: Page, key: str, code: int, before: str) -> str:
    """Press a key; the id of the pair that is shown then."""
    page.press(key, code, key)
    return str(until(page, f"{READY} !== '{before}' && {READY}"))


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on this machine")
def test_two_people_review_by_keyboard_while_the_server_is_killed(
    running: Running, tmp_path: Path
) -> None:
    with chromium(tmp_path / "one") as ann, chromium(tmp_path / "two") as bob:
        first = open_page(ann, running, "ann")
        assert open_page(bob, running, "bob") == first
        # Both sides are drawn, and what is drawn are their pixels.
        sizes = "['before', 'after'].map((id) => [$(id).width, $(id).height])"
        assert ann.run(sizes) == [[64, 48], [64, 48]]
        second = decide(ann, "A", 65, first)  # as with Caps Lock
        ann.press("r", 82, "r")
        until(ann, "$('why').open")
        third = decide(ann, "2", 50, second)
        assert decide(ann, "u", 85, third) == second
        until(ann, "$('progress').textContent.startsWith('you 1,')")
        assert decide(bob, "s", 83, first) == second
        until(bob, "$('progress').textContent.startsWith('you 1, team 1')")
        ann.press("ArrowRight", 39)
        assert "55" in ann.run("$('stage').style.cssText")
        placed = "['before', 'after'].map((id) => $(id).style.transform)"
        ann.press("+", 187, "+")
        zoomed = ann.run(placed)
        assert "scale(1.5)" in zoomed[0]
        assert zoomed[0] == zoomed[1]
        ann.press("0", 48, "0")
        assert ann.run(placed) == ["translate(0px, 0px) scale(1)"] * 2

        held = "{key: 'a', repeat: true, bubbles: true}"
        ann.run(f"document.body.dispatchEvent(new KeyboardEvent('keydown', {held}))")
        ann.run("last.then(() => true)")
        assert ann.run(READY) == second, "a key that is held down judges pairs unseen"

        running.kill()
        drawn = ann.run(PIXELS)
        ann.press("a", 65, "a")
        until(ann, "$('message').textContent.startsWith('Not stored')")
        assert until(ann, f"{READY} === '{second}' && {READY}") == second
        assert ann.run(PIXELS) == drawn, "another pair's pictures are on the screen"
        again = Running(tmp_path, "--share", "1", port=running.port)
        try:
            decide(ann, "a", 65, second)
            until(ann, "$('progress').textContent.startsWith('you 2, team 2')")
            assert decide(bob, "a", 65, second) == third
            assert again.call("GET", "/api/agreement").json()["shared_pairs"] == 2
        finally:
            again.kill()


def test_pairs_are_chosen_by_what_was_gained(running: Running) -> None:
    def ask(**wanted: str) -> list[float]:
        found = running.call("GET", "/api/next", params=wanted).json()
        return [round(pair["severity_clean"] - pair["severity_degraded"], 1) for pair in found]

    assert all(gained >= 1.2 for gained in ask(least="1.2"))
    assert all(0.55 <= gained <= 0.85 for gained in ask(least="0.55", most="0.85"))
    assert len(ask(least="0.55", most="0.85")) == 3
    assert ask(least="9") == []
    assert running.call("GET", "/api/next", params={"least": "much"}).status_code == 422


def test_what_screening_was_least_sure_of_comes_first() -> None:
    def pair(changed: float, warp: float = 0.0, gained: float = 2.0) -> dict[str, Any]:
        scores = {"content-changed": changed, "move-warp": warp, "move-relative": 0.1}
        sides = {"severity_degraded": 2.0, "severity_clean": 2.0 + gained, "consistency": 0.1}
        return {"degradation": "haze", "scores": list(scores.items()), **sides}

    unsure, kept, lost = pair(0.45), pair(0.001), pair(0.999)
    assert doubt(unsure, Pair()) > 0.8 > doubt(kept, Pair()) > 0
    assert doubt(lost, Pair()) < 0.2, "what fails by far is sure, however near another limit is"
    assert doubt(pair(0.999, warp=0.12), Pair()) == doubt(lost, Pair())


def test_a_wildcard_address_answers_under_any_name_but_only_with_the_token(tmp_path: Path) -> None:
    make_tree(tmp_path)
    server = Running(tmp_path, "--host", "0.0.0.0", MENDLINE_REVIEW_TOKEN="a-token")
    try:
        named = {"Host": "reviews.example:8712"}
        assert server.call("GET", "/api/next", headers=named).status_code == 401
        named |= {"Authorization": "Bearer a-token"}
        assert server.call("GET", "/api/next", headers=named).status_code == 200
    finally:
        server.kill()
