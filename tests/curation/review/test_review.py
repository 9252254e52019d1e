"""The review server: real processes over HTTP, a crash, two reviewers."""

import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient

from catalog import schemas
from catalog.images import decode
from catalog.layout import Layout
from catalog.settings.pairs import Pair
from catalog.shards import ShardStore
from catalog.tables import read_table
from curation.collect.takedown import take_down
from curation.review.app import make_app
from curation.review.decisions import Decision, Decisions, Undone
from flows.cli.review_pairs import _names
from tests.curation.review.serving import PAIRS, REPOSITORY, Running, make_tree


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


def test_a_reviewer_may_have_any_letters_and_sees_a_tiff(running: Running, tmp_path: Path) -> None:
    name = "Łukasz Żak"
    encoded = {"X-Mendline-Reviewer": quote(name)}
    pair = running.call("GET", "/api/next", headers=encoded).json()[0]
    said = {"pair_id": pair["pair_id"], "decision": "accept"}
    assert running.call("POST", "/api/decisions", headers=encoded, json=said).status_code == 200
    shown = running.call("GET", f"/image/{pair['degraded_id']}")
    assert shown.headers["Content-Type"] == "image/png"
    raw = ShardStore(Layout(tmp_path).raw).get(pair["degraded_id"])
    assert raw.format == "TIFF"
    np.testing.assert_array_equal(decode(shown.content), raw.decode())
    for bad in ("%0Aname", quote("a" * 65), "%3Cb%3E"):
        refused = running.call("GET", "/api/next", headers={"X-Mendline-Reviewer": bad})
        assert refused.status_code == 422
        assert "1 to 64 letters" in refused.json()["detail"]


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
    assert client.post("/api/undo", json={}).json() == {"pair_id": rows[1]["pair_id"], "mine": None}
    assert client.post("/api/undo", json={}).json() == {"pair_id": None, "mine": None}
    assert decisions.all() == [gone]


def test_undo_restores_what_stood_before_also_after_a_crash(
    running: Running, tmp_path: Path
) -> None:
    first, second = (one["pair_id"] for one in running.call("GET", "/api/next").json()[:2])

    def decide(reviewer: str, pair: str, decision: str, reason: str | None = None) -> None:
        body = {"pair_id": pair, "decision": decision, "reason": reason}
        assert running.call("POST", "/api/decisions", reviewer, json=body).status_code == 200

    decide("ann", first, "accept")
    decide("bob", first, "accept")
    decide("ann", second, "unsure")
    decide("ann", first, "reject", "artefacts")
    decide("ann", first, "unsure")
    decide("ann", first, "unsure")  # sent again by a page that got no answer
    running.kill()

    again = Running(tmp_path, "--share", "1")

    def undo(reviewer: str = "ann") -> tuple[str | None, str | None]:
        found = again.call("POST", "/api/undo", reviewer, json={}).json()
        return found["pair_id"], found["mine"]

    def stands(reviewer: str, pair: str) -> str | None:
        said: str | None = again.call("GET", f"/api/pair/{pair}", reviewer).json()["mine"]
        return said

    def exported() -> dict[str, Decision]:
        """What a process beside the server reads, of Ann."""
        decisions = Decisions(tmp_path / ".mendline/reviews.db")
        found = {one.pair_id: one for one in decisions.all() if one.reviewer == "ann"}
        decisions.close()
        return found

    try:
        assert stands("ann", first) == "unsure"
        assert undo() == (first, "reject")
        assert stands("ann", first) == "reject"
        assert exported()[first] == Decision(first, "ann", "reject", "artefacts")
        assert again.call("GET", "/api/agreement").json()["disagreements"] == [first]
        assert undo() == (first, "accept")
        assert exported()[first] == Decision(first, "ann", "accept")
        assert again.call("GET", "/api/agreement").json()["disagreements"] == []
        assert again.call("GET", "/api/progress").json()["mine"] == 2
        assert first not in {one["pair_id"] for one in again.call("GET", "/api/next").json()}
        assert undo() == (second, None)
        assert undo() == (first, None)
        assert undo() == (None, None)
        assert exported() == {}
        assert stands("bob", first) == "accept", "another reviewer's stand"
        assert undo("bob") == (first, None)
    finally:
        again.kill()


def test_decisions_of_an_earlier_version_are_kept(tmp_path: Path) -> None:
    base = sqlite3.connect(tmp_path / "reviews.db")
    base.execute(
        "CREATE TABLE decisions (number INTEGER PRIMARY KEY, pair_id TEXT NOT NULL, reviewer TEXT "
        "NOT NULL, decision TEXT NOT NULL CHECK (decision IN ('accept', 'reject', 'unsure')), "
        "reason TEXT, at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')), "
        "UNIQUE (pair_id, reviewer))"
    )
    stored = [(7, "p", "ann", "reject", "moved", "2026-01-02T03:04:05Z")]
    stored.append((9, "q", "ann", "accept", None, "2026-01-02T03:04:06Z"))
    base.executemany("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?)", stored)
    base.commit()
    for _ in range(2):
        decisions = Decisions(tmp_path / "reviews.db")
        assert base.execute("SELECT * FROM decisions").fetchall() == stored
    decisions.decide(Decision("p", "ann", "accept"))
    assert decisions.all()[1] == Decision("p", "ann", "accept")
    assert decisions.undo("ann", {"p"}) == Undone("p", Decision("p", "ann", "reject", "moved"))
    base.close()
    decisions.close()


def test_pairs_are_chosen_by_what_was_gained(running: Running) -> None:
    def ask(**wanted: str) -> list[float]:
        found = running.call("GET", "/api/next", params=wanted).json()
        return [round(pair["severity_clean"] - pair["severity_degraded"], 1) for pair in found]

    assert all(gained >= 1.2 for gained in ask(least="1.2"))
    assert all(0.55 <= gained <= 0.85 for gained in ask(least="0.55", most="0.85"))
    assert len(ask(least="0.55", most="0.85")) == 3
    assert ask(least="9") == []
    assert running.call("GET", "/api/next", params={"least": "much"}).status_code == 422


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
