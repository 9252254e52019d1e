"""The decisions of people on a real SQLite store."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from rich.console import Console

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import Params
from evaluation.registry import decisions, lock
from evaluation.registry.contents import contents_digest, read_contents
from evaluation.registry.listing import decided_table
from evaluation.registry.records import append, records, report_state
from evaluation.registry.store import TAG, Registry, connect
from tests.evaluation.registering import WEIGHTS, bare_version, gated, kinds


def test_an_approval_is_refused_when_what_it_saw_has_moved(
    layout: Layout, params: Params, registry: Registry
) -> None:
    first, second, third = (bare_version(registry) for _ in range(3))
    with pytest.raises(UserError, match="not the one that was read"):
        decisions.approve(layout, params, first, "Ada", report_sha256="0" * 64)
    decisions.approve(layout, params, first, "Ada")
    with pytest.raises(UserError, match="is the champion already"):
        decisions.approve(layout, params, first, "Ada")
    with pytest.raises(UserError, match="compared version 2 with champion none"):
        decisions.approve(layout, params, second, "Ada")
    gated(registry, third, first)
    artifacts = layout.mlflow_database.parent / "artifacts"
    report = next(artifacts.rglob(f"{registry.version(third).run_id}/**/report.html"))
    report.write_text(report.read_text() + " ")
    with pytest.raises(UserError, match="was changed after the gate wrote it"):
        decisions.approve(layout, params, third, "Ada")
    report.unlink()
    with pytest.raises(UserError, match="was changed after the gate wrote it"):
        decisions.approve(layout, params, third, "Ada")
    assert registry.champion() == first
    assert kinds(registry) == [("approve", first, "Ada")]


def test_a_report_edited_after_the_decision_shows_in_the_record(
    layout: Layout, params: Params, registry: Registry
) -> None:
    version = bare_version(registry)
    record = decisions.approve(layout, params, version, "Ada")
    assert report_state(registry, record) == "as it was read"
    artifacts = layout.mlflow_database.parent / "artifacts"
    report = next(artifacts.rglob("report.html"))
    report.write_text(report.read_text() + "<p>better than that</p>")
    assert report_state(registry, record) == "CHANGED since"
    console = Console(record=True, width=200)
    console.print(decided_table(layout, params))
    assert "CHANGED since" in console.export_text()
    report.unlink()
    assert report_state(registry, record) == "gone"
    assert registry.champion() == version


def _swap(file: Path) -> None:
    file.write_bytes(file.read_bytes()[::-1])


def _lose(file: Path) -> None:
    file.unlink()


def _add(file: Path) -> None:
    file.with_name("more.txt").write_text("more")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_swap, r"registered: weights\.txt was changed \(SHA-256 \w{12}, registered \w{12}\)\."),
        (_lose, r"registered: weights\.txt is missing\."),
        (_add, r"registered: more\.txt was added\."),
    ],
)
def test_a_model_changed_in_the_store_after_the_gate_is_not_promoted(
    layout: Layout,
    params: Params,
    registry: Registry,
    change: Callable[[Path], None],
    said: str,
) -> None:
    first, second = (bare_version(registry, verdict="reject") for _ in range(2))
    artifacts = layout.mlflow_database.parent / "artifacts"
    model = artifacts / registry.version(first).run_id / "artifacts" / WEIGHTS
    change(model)
    with pytest.raises(UserError, match=said) as info:
        decisions.approve(layout, params, first, "Ada", override="in a hurry")
    assert f"`mendline reject {first}`" in info.value.remedy
    assert (registry.champion(), records(registry)) == (None, [])
    # With the tag edited, too, the report still says what the gate saw.
    now = read_contents(registry, first)
    registry.tag(first, contents=contents_digest(now))
    with pytest.raises(UserError, match="does not say what its tags do"):
        decisions.approve(layout, params, first, "Ada", override="in a hurry")
    decisions.approve(layout, params, second, "Ada", override="as it was")


def test_going_back_to_a_model_changed_since_is_refused(
    layout: Layout, params: Params, registry: Registry
) -> None:
    first, second = bare_version(registry), bare_version(registry, champion_seen="1")
    decisions.approve(layout, params, first, "Ada")
    decisions.approve(layout, params, second, "Ada")
    artifacts = layout.mlflow_database.parent / "artifacts"
    model = artifacts / registry.version(first).run_id / "artifacts" / WEIGHTS
    kept = model.read_bytes()
    _swap(model)
    with pytest.raises(UserError, match=r"weights\.txt was changed"):
        decisions.rollback(layout, params, "Ada", "haze got worse")
    assert registry.champion() == second
    model.write_bytes(kept)
    cache = model.with_name("__pycache__") / "served.pyc"  # as after it was served in place
    cache.parent.mkdir()
    cache.write_bytes(b"cached")
    decisions.rollback(layout, params, "Ada", "haze got worse")
    assert registry.champion() == first
    gated(registry, second, first)
    cache = artifacts / registry.version(second).run_id / "artifacts/model/__pycache__/x.pyc"
    cache.parent.mkdir()
    cache.write_bytes(b"cached")
    with pytest.raises(UserError, match=r"__pycache__/x\.pyc was added") as info:
        decisions.approve(layout, params, second, "Ada")
    assert "Delete the __pycache__ folders" in info.value.remedy


@pytest.mark.parametrize("verdict", ["reject", "inconclusive"])
def test_only_promote_is_approved_unless_overridden(
    layout: Layout, params: Params, registry: Registry, verdict: str
) -> None:
    version = bare_version(registry, verdict=verdict)
    with pytest.raises(UserError, match=f"verdict on version 1 is {verdict}"):
        decisions.approve(layout, params, version, "Ada")
    assert registry.champion() is None
    with pytest.raises(UserError, match=f"verdict on version 1 is {verdict}"):
        decisions.approve(layout, params, version, "Ada", override=" ")
    record = decisions.approve(layout, params, version, "Ada", override="looked at every picture")
    assert record.reason == "override: looked at every picture"
    assert (registry.champion(), record.verdict) == (version, verdict)


def test_decisions_need_names_reasons_and_versions(
    layout: Layout, params: Params, registry: Registry
) -> None:
    with pytest.raises(UserError, match="no version 7 of mendline; there are: none"):
        decisions.approve(layout, params, 7, "Ada")
    version = bare_version(registry)
    with pytest.raises(UserError, match="name of a person"):
        decisions.approve(layout, params, version, " ")
    with pytest.raises(UserError, match="needs a reason"):
        decisions.reject(layout, params, version, "Ada", " ")
    with pytest.raises(UserError, match="no previous champion"):
        decisions.rollback(layout, params, "Ada")
    decisions.approve(layout, params, version, "Ada")
    with pytest.raises(UserError, match="is the champion"):
        decisions.reject(layout, params, version, "Ada", "no")


def test_a_rejection_is_recorded_and_takes_the_alias(
    layout: Layout, params: Params, registry: Registry
) -> None:
    version = bare_version(registry)
    registry.client.set_registered_model_alias(registry.name, "candidate", version)
    decisions.reject(layout, params, version, "Ada", "it paints stars")
    assert registry.aliases() == {}
    assert registry.version(version).tags["state"] == "rejected"
    assert records(registry)[0].reason == "it paints stars"


def test_a_champion_moved_by_hand_is_recorded(
    layout: Layout, params: Params, registry: Registry
) -> None:
    first, second, third = (bare_version(registry) for _ in range(3))
    decisions.approve(layout, params, first, "Ada")
    registry.client.set_registered_model_alias(registry.name, "champion", second)
    gated(registry, third, second)
    decisions.approve(layout, params, third, "Ada")
    assert [r.kind for r in records(registry)] == ["approve", "moved", "approve"]
    assert registry.aliases() == {"champion": third, "previous": second}


def test_an_edited_record_stops_all_promotions(
    layout: Layout, params: Params, registry: Registry
) -> None:
    first, second, third = (bare_version(registry) for _ in range(3))
    decisions.approve(layout, params, first, "Ada")
    decisions.reject(layout, params, second, "Ben", "worse")
    key = f"{TAG}decision.00001"
    text = registry.client.get_registered_model(registry.name).tags[key]
    registry.client.set_registered_model_tag(registry.name, key, text.replace("Ada", "Eve"))
    gated(registry, third, first)
    with pytest.raises(UserError, match="entry 2 does not follow"):
        decisions.approve(layout, params, third, "Ada")
    assert registry.champion() == first


def _die_after_the_record(root: Path, version: str) -> None:
    registry = connect(Layout(root), "mendline")
    past = decisions.settle(registry)
    before = registry.champion()
    append(registry, past, "approve", version, before, version, before, "Ada", "x")
    os.kill(os.getpid(), signal.SIGKILL)


def _die_after_the_champion(root: Path, version: str) -> None:
    registry = connect(Layout(root), "mendline")
    past = decisions.settle(registry)
    before = registry.champion()
    append(registry, past, "approve", version, before, version, before, "Ada", "x")
    registry.client.set_registered_model_alias("mendline", "champion", version)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("die", "champion", "previous", "last"),
    [
        (_die_after_the_record, "1", None, "void"),
        (_die_after_the_champion, "2", "1", "approve"),
    ],
)
def test_a_promotion_killed_in_the_middle_is_settled(
    layout: Layout,
    params: Params,
    registry: Registry,
    die: Callable,
    champion: str,
    previous: str | None,
    last: str,
) -> None:
    first, second = bare_version(registry), bare_version(registry)
    decisions.approve(layout, params, first, "Ada")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([decisions.__name__])
    process = context.Process(target=die, args=(layout.root, second))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    with lock.locked(registry):
        past = decisions.settle(registry)
        assert decisions.settle(registry) == past, "settling twice is settling once"
    assert past[-1].kind == last
    assert registry.champion() == champion
    assert registry.aliases().get("previous") == previous


def test_the_lock_is_waited_for_and_then_named(registry: Registry) -> None:
    held = FileLock(registry.layout.mlflow_database.parent / "mendline.lock")
    with held, pytest.raises(UserError, match="has held the lock"), lock.locked(registry, 0.1):
        pass


def test_a_remote_server_without_a_shared_lock_is_refused(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    with (
        pytest.raises(UserError, match="is on another machine"),
        lock.locked(connect(layout, "mendline")),
    ):
        pass


def test_a_registry_that_is_down_is_said(
    layout: Layout, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    with pytest.raises(UserError, match=r"failed: .*") as info:
        decisions.approve(layout, params, 1, "Ada")
    assert "run the same command again" in info.value.remedy


@pytest.mark.parametrize("store", ["sqlite", "server"])
def test_two_work_trees_with_one_store_have_one_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    addresses = {
        "sqlite": [f"sqlite:///{tmp_path}/shared/mlflow.db"] * 2,
        "server": ["http://127.0.0.1:5000", "http://localhost:5000/"],
    }[store]
    (tmp_path / "shared").mkdir()
    trees = []
    for name, address in zip(("here", "there"), addresses, strict=True):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        trees.append(connect(Layout(tmp_path / name), "mendline"))
    with (
        lock.locked(trees[0]),
        pytest.raises(UserError, match="has held the lock"),
        lock.locked(trees[1], 0.1),
    ):
        pass


@pytest.mark.parametrize(
    ("store", "lock_url"),
    [
        ("https://mlflow.example.org", "sqlite:////tmp/lock.db"),
        ("mysql+pymysql://u:geheim@db.example.org/mlflow", ""),
        ("databricks", ""),
    ],
)
def test_a_lock_that_would_hold_on_this_machine_alone_is_refused(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, store: str, lock_url: str
) -> None:
    monkeypatch.setenv("MENDLINE_LOCK_URL", lock_url)
    registry = Registry(store, "mendline", layout, client=None)  # type: ignore[arg-type]
    with (
        pytest.raises(UserError, match=r"no Postgres database|on another machine") as info,
        lock.locked(registry, 0.1),
    ):
        pass
    assert "geheim" not in str(info.value)


def test_a_store_that_is_away_is_named_without_its_password(
    layout: Layout, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.registry_models import local_model

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:geheim@127.0.0.1:9")
    for ask in (
        lambda: decisions.approve(layout, params, 1, "Ada"),
        lambda: local_model(layout, "models:/mendline/1").__enter__(),
    ):
        with pytest.raises(UserError, match=r"127\.0\.0\.1:9") as info:
            ask()
        assert "geheim" not in info.value.what
