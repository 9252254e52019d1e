"""Training sent to another machine's worker: two work trees, a Prefect server, Git and DVC."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from catalog.errors import UserError
from flows.demo import Source, prepare
from flows.train import send, train
from flows.workspace import Workspace
from tests.end_to_end.small import small_params
from tests.flows.conftest import BIN

ROOT = Path(__file__).parents[2]

_REFRESH = """\
import json, sys
from pathlib import Path
from flows.demo import web_of
from flows.refresh import refresh
from flows.workspace import Workspace
from tests.end_to_end.small import SIZE
tree = Workspace(Path(sys.argv[1]))
with web_of(tree, SIZE) as urls:
    result = refresh(str(tree.root), urls=str(urls), train_on="train/gpu")
Path(sys.argv[2]).write_text(json.dumps(result))
"""


def _share(tree: Workspace, store: Path) -> None:
    (tree.root / ".dvc/config.local").write_text(f"['remote \"local\"']\n    url = {store}\n")


def _run(command: list[str], tree: Workspace, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=tree.root, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_training_that_is_cancelled_fails_or_never_begins_is_said(
    tmp_path: Path, server: tuple[int, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real server and the real flow; the runs are taken by hand, as a worker would."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.flows import EntrypointType
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.states import Cancelled

    environment = server[1]

    def taken(way: Callable[[SyncPrefectClient, Any], None]) -> str:
        """What the user reads when the run that was sent is treated in this `way`."""
        with get_client(sync_client=True) as client, ThreadPoolExecutor(1) as pool:
            sent = pool.submit(copy_context().run, send.fn, "train/gpu", "0" * 40, 1.0)
            waiting = FlowRunFilter.model_validate({"state": {"type": {"any_": ["SCHEDULED"]}}})
            while not (runs := client.read_flow_runs(flow_run_filter=waiting)):
                assert not sent.done(), sent.exception()
            way(client, runs[0])
            with pytest.raises(UserError) as caught:
                sent.result(120)
        return f"{caught.value.what} {caught.value.remedy}"

    def cancel(client: SyncPrefectClient, run: Any) -> None:
        client.set_flow_run_state(run.id, Cancelled(message="the machine is needed"), force=True)

    def execute(_: SyncPrefectClient, run: Any) -> None:
        subprocess.run(
            [str(BIN / "prefect"), "flow-run", "execute", str(run.id)],
            cwd=tmp_path, env=environment, capture_output=True, check=False,
        )  # fmt: skip

    def leave(client: SyncPrefectClient, run: Any) -> None:
        pass

    with temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}):
        make: Any = train.to_deployment
        make(name="gpu", entrypoint_type=EntrypointType.MODULE_PATH).apply()
        assert "ended as Cancelled: the machine is needed" in taken(cancel)
        said = taken(execute)  # in a folder that is no work tree
        assert "ended as Failed" in said
        assert "is no work tree of Mendline" in said
        assert "prefect flow-run logs" in said
        monkeypatch.setattr("flows.train.SPARE_HOURS", -1 + 1 / 3600)
        said = taken(leave)
        assert "has not ended in" in said
        assert "hours; it is Scheduled" in said
        assert "prefect worker start" in said


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_refresh_flow_sends_its_training_to_the_gpu_pool(
    tmp_path: Path, server: tuple[int, dict[str, str]]
) -> None:
    environment = server[1] | {"OMP_NUM_THREADS": "1"}
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "origin.git")], check=True)
    here = prepare(tmp_path / "here", Source(), "embedded", small_params())
    here.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    here.git("push", "--quiet", "origin", "HEAD")
    here.git("clone", "--quiet", "--branch", "main", str(tmp_path / "origin.git"), "../there")
    there = Workspace(tmp_path / "there")
    for tree in (here, there):
        _share(tree, tmp_path / "store")
    # The benchmark is on both machines; it is in neither remote.
    from flows.demo import web_of
    from tests.end_to_end.small import SIZE

    with web_of(here, SIZE):
        shutil.copytree(here.layout.benchmark, there.layout.benchmark, dirs_exist_ok=True)

    _run([str(BIN / "prefect"), "work-pool", "create", "gpu", "--type", "process"],
         there, environment)  # fmt: skip
    _run([str(BIN / "prefect"), "--no-prompt", "deploy", "--all",
          "--prefect-file", "prefect-gpu.yaml"], there, environment)  # fmt: skip
    with (tmp_path / "worker.log").open("w") as log:
        worker = subprocess.Popen(
            [str(BIN / "prefect"), "worker", "start", "--pool", "gpu"],
            cwd=there.root, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        out = tmp_path / "result.json"
        command = [sys.executable, "-c", _REFRESH, str(here.root), str(out)]
        _run(command, here, environment | {"PYTHONPATH": str(ROOT)})
    finally:
        worker.terminate()
        worker.wait(60)
    result: dict[str, Any] = json.loads(out.read_text())

    assert result["verdict"] in ("promote", "reject", "inconclusive")
    assert result["ran"][-1] == "assemble", "training ran where the flow did"
    assert result["commit"] == here.head() == there.head()
    trained = here.git("log", "-1", "--format=%s")
    assert trained.strip() == "Trained and evaluated: transfer, finetune, evaluate"
    weights = [tree.layout.finetune / "model.safetensors" for tree in (here, there)]
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in weights}) == 1
    for tree in (here, there):
        assert not tree.git("status", "--porcelain")
    assert not there.layout.hashes.exists(), "no stage that ran there reads it"
