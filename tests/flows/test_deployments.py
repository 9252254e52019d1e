"""prefect.yaml against a real Prefect server: both deployments, with their schedules."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flows.workspace import create

BIN = Path(sys.executable).parent


def _environment(home: Path, port: int | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    kept |= {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
        "PREFECT_CLI_PROMPT": "false",
    }
    return kept | ({"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"} if port else {})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = tmp_path / "prefect"
    log = (tmp_path / "server.log").open("w")
    process = subprocess.Popen(
        [str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        env=_environment(home),
        stdout=log,
        stderr=log,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/api/health").is_success:
                    break
            except httpx.TransportError:
                assert process.poll() is None, (tmp_path / "server.log").read_text()
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.2)
        yield port, _environment(home, port)
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
def test_both_deployments_are_made_with_their_schedules(
    tmp_path: Path, server: tuple[int, dict[str, str]]
) -> None:
    port, environment = server
    tree = create(tmp_path / "tree")
    for command in (
        ["work-pool", "create", "mendline", "--type", "process"],
        ["--no-prompt", "deploy", "--all"],
    ):
        done = subprocess.run(
            [str(BIN / "prefect"), *command],
            cwd=tree.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    answer = httpx.post(f"http://127.0.0.1:{port}/api/deployments/filter", json={})
    found = {item["name"]: item for item in answer.json()}
    assert set(found) == {"nightly", "daily"}
    for name, cron in (("nightly", "0 2 * * *"), ("daily", "0 8 * * *")):
        item = found[name]
        assert item["schedules"][0]["schedule"]["cron"] == cron
        assert item["work_pool_name"] == "mendline"
        assert item["global_concurrency_limit"]["limit"] == 1
        steps = item["pull_steps"]
        assert str(tree.root) in str(steps)
    assert not tree.git("status", "--porcelain")
