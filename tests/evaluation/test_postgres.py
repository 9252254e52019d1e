"""The lock and the decisions on Postgres, where promoters may be on several machines."""

import multiprocessing
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.errors import UserError
from catalog.layout import Layout
from evaluation.registry import lock
from evaluation.registry.store import EXPERIMENT, connect, public
from tests.evaluation.conftest import ROOT
from tests.evaluation.racing import race

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
needs_postgres = pytest.mark.skipif(
    shutil.which("initdb") is None or shutil.which("postgres") is None,
    reason="Postgres is not installed",
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A fresh Postgres of our own on 127.0.0.1, run by nobody where the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="mendline-postgres-"))
    user = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid} if os.getuid() == 0 else {}
    if user:
        shutil.chown(folder, "nobody")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = str(folder / "data")
    subprocess.run(
        ["initdb", "-D", data, "-U", "mendline", "--auth=trust", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=folder,
        **user,
    )
    options = ["-p", str(port), "-k", str(folder), "-h", "127.0.0.1", "-F"]
    process = subprocess.Popen(
        ["postgres", "-D", data, *options],
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        **user,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "ready to accept connections" in line:
            break
    # What it says later is read and dropped: a full pipe would stop it.
    threading.Thread(target=deque, args=(process.stderr, 0), daemon=True).start()
    try:
        yield f"postgresql+psycopg://mendline:secret@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)  # fast shutdown: SIGTERM waits for all clients to leave
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _count(root: Path, address: str, rounds: int) -> None:
    """Read, add one, write: loses counts unless the lock holds."""
    os.environ["MENDLINE_LOCK_URL"] = address
    # Each process has a folder of its own, as on another machine: only Postgres is shared.
    registry = connect(Layout(root / str(os.getpid())), "mendline")
    counter = root / "counter"
    for _ in range(rounds):
        with lock.locked(registry):
            counter.write_text(str(int(counter.read_text()) + 1))


@needs_postgres
def test_the_advisory_lock_holds_between_machines(address: str, tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([lock.__name__])
    workers = [context.Process(target=_count, args=(tmp_path, address, 15)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert (tmp_path / "counter").read_text() == "60"


@needs_postgres
def test_a_lock_that_is_held_elsewhere_is_named_without_its_password(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MENDLINE_LOCK_URL", address)
    here, there = (connect(Layout(tmp_path / name), "mendline") for name in ("here", "there"))
    with (
        lock.locked(here),
        pytest.raises(UserError, match="has held the lock on postgresql") as info,
        lock.locked(there, wait=0.2),
    ):
        pass
    assert "secret" not in str(info.value)
    with lock.locked(there, wait=5):
        pass


@needs_postgres
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_six_promoters_on_six_machines_a_hundred_times(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    roots = [tmp_path / f"machine-{number}" for number in range(7)]
    for root in roots:
        root.mkdir()
    registry = connect(Layout(roots[6]), "mendline")
    artifacts = (tmp_path / "artifacts").as_uri()  # a bucket in earnest, which all machines see
    registry.client.create_experiment(EXPERIMENT, artifact_location=artifacts)
    race(registry, roots[:6], (ROOT / "profiles/embedded.yaml").read_text(), 100)


def test_a_database_that_is_down_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MENDLINE_LOCK_URL", f"postgresql+psycopg://a:secret@127.0.0.1:{port}/x")
    registry = connect(Layout(tmp_path), "mendline")
    with (
        pytest.raises(UserError, match="failed") as info,
        registry.reachable(),
        lock.locked(registry, wait=1),
    ):
        pass
    assert "secret" not in str(info.value)


def test_passwords_are_not_shown() -> None:
    assert public("postgresql://ada:secret@db/x") == "postgresql://ada:***@db/x"
    assert public("https://ada:secret@host/x") == "https://host/x"
