"""Training sent to another machine's worker: two work trees, a Prefect server, Git and DVC."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.demo import Source, prepare
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
