"""prefect.yaml against a real Prefect server: both deployments, with their schedules."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from catalog.layout import Layout
from catalog.settings import load_params
from evaluation.registry import decisions
from evaluation.registry.gating import gate_version
from evaluation.registry.records import records
from evaluation.registry.store import connect
from flows.guard import limit_name
from flows.workspace import Workspace, create
from tests.flows.conftest import BIN


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


_CHECK = "import sys; from flows.train import check_deployment; check_deployment(sys.argv[1])"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train/gpu", "gpu"])
def test_an_unknown_deployment_is_refused_before_anything_is_collected(
    server: tuple[int, dict[str, str]], name: str
) -> None:
    command = [sys.executable, "-c", _CHECK, name]
    done = subprocess.run(command, env=server[1], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert f"UserError: The Prefect server knows no deployment {name!r}" in done.stderr


def _candidate(layout: Layout, percent: int = 100, seed: int = 0) -> str:
    """A registered version that the gate will pass: a Sharpener's scores, a tiny student."""
    import torch

    from catalog.settings.evaluation import Evaluate
    from catalog.settings.training import Architecture
    from evaluation.benchmark import read_benchmark
    from evaluation.judging import CachedJudge
    from evaluation.registry.register import register_candidate
    from evaluation.restoring import RestorerSource
    from evaluation.scoring import score
    from networks.student.files import save_student
    from networks.student.model import StudentDiT
    from tests.evaluation.parts import MeanDistance, Sharpener, SharpnessJudge, write_benchmark

    if not layout.benchmark.exists() or not any(layout.benchmark.glob("*/*.png")):
        write_benchmark(layout.benchmark)
    benchmark = read_benchmark(layout.benchmark)
    scratch = layout.scratch("evaluate")
    source = RestorerSource(Sharpener(percent), benchmark, scratch / "restored")
    settings = Evaluate(batch_size=4, repeat_images=24, picture_side=96)
    with CachedJudge(SharpnessJudge(), scratch / "judgements.db", 4) as judge:
        score(benchmark, source, judge, MeanDistance(), settings, layout.evaluation)
    torch.manual_seed(seed)
    tiny = Architecture(
        width=16, heads=2, double_blocks=1, single_blocks=1, mlp_ratio=1, tile=32, overlap=8
    )
    layout.finetune.mkdir(parents=True, exist_ok=True)
    save_student(StudentDiT(tiny), layout.finetune)
    return register_candidate(layout, load_params(layout.params)).version


class Promotion:
    """A run of the promote flow on a real server, carried out by a real worker."""

    def __init__(self, port: int, log: Path) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}/api", timeout=60)
        self.log = log

    def until(self, *wanted: str) -> dict[str, Any]:
        deadline = time.monotonic() + 240
        while True:
            # Runs that the schedule made lie in the future: ours is the one that has started.
            runs = self.client.post("/flow_runs/filter", json={}).json()
            mine = [run for run in runs if not run["auto_scheduled"]]
            if mine and mine[0]["state"]["name"] in wanted:
                return mine[0]
            state = mine[0]["state"] if mine else {}
            assert state.get("type") not in ("FAILED", "CRASHED"), state
            assert time.monotonic() < deadline, (state, self.log.read_text())
            time.sleep(0.2)

    def answer(self, approve: bool, by: str) -> None:
        asked = self.until("Suspended")
        form = {"approve": approve, "by": by, "reason": ""}
        said = self.client.post(f"/flow_runs/{asked['id']}/resume", json={"run_input": form})
        assert said.is_success, said.text


@contextmanager
def _promoting(
    tree: Workspace, port: int, environment: dict[str, str], log: Path
) -> Iterator[Promotion]:
    for command in (
        ["work-pool", "create", "mendline", "--type", "process"],
        ["--no-prompt", "deploy", "--all"],
        ["deployment", "run", "promote/daily"],
    ):
        subprocess.run(
            [str(BIN / "prefect"), *command],
            cwd=tree.root,
            env=environment,
            check=True,
            timeout=180,
        )
    with log.open("w") as out:
        worker = subprocess.Popen(
            [str(BIN / "prefect"), "worker", "start", "--pool", "mendline"],
            cwd=tree.root,
            env=environment,
            stdout=out,
            stderr=out,
        )
    try:
        yield Promotion(port, log)
    finally:
        worker.terminate()
        worker.wait(30)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_person_approves_in_prefect_and_the_champion_moves(
    tmp_path: Path, server: tuple[int, dict[str, str]]
) -> None:
    tree = create(tmp_path / "tree")
    version = _candidate(tree.layout)
    registry = connect(tree.layout, load_params(tree.layout.params).gate.model_name)
    with _promoting(tree, *server, tmp_path / "worker.log") as run:
        run.until("Suspended")
        assert registry.champion() is None
        run.answer(True, "Ada Lovelace")
        run.until("Completed")
    assert registry.champion() == version
    record = records(registry)[-1]
    assert (record.kind, record.version, record.by) == ("approve", version, "Ada Lovelace")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_answer_to_an_old_report_asks_again_and_the_terminal_may_decide(
    tmp_path: Path, server: tuple[int, dict[str, str]]
) -> None:
    tree = create(tmp_path / "tree")
    params = load_params(tree.layout.params)
    better = _candidate(tree.layout, 300, 0)
    registry = connect(tree.layout, params.gate.model_name)
    with _promoting(tree, *server, tmp_path / "worker.log") as run:
        run.until("Suspended")
        # Meanwhile another version becomes champion: the report that was shown is out of date.
        weaker = _candidate(tree.layout, 50, 1)
        gate_version(tree.layout, params, weaker)
        decisions.approve(tree.layout, params, weaker, "Ben")
        registry.client.set_registered_model_alias(registry.name, "candidate", better)
        run.answer(True, "Ada")
        run.until("Suspended")
        assert registry.champion() == weaker, "the answer was to another report"
        decisions.approve(tree.layout, params, better, "Cleo")
        run.answer(True, "Ada")
        run.until("Completed")
    assert registry.champion() == better
    made = [(record.kind, record.version, record.by) for record in records(registry)]
    assert made == [("approve", weaker, "Ben"), ("approve", better, "Cleo")]


_HOLD = """\
import sys
from pathlib import Path
from flows.guard import one_at_a_time
from flows.workspace import open_workspace
with one_at_a_time(open_workspace(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_the_limit_of_a_work_tree_exists_on_the_server_and_is_held(
    tmp_path: Path, server: tuple[int, dict[str, str]]
) -> None:
    port, environment = server
    tree = create(tmp_path / "tree")
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tree.root)],
        cwd=tree.root,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    where = f"http://127.0.0.1:{port}/api/v2/concurrency_limits/{limit_name(tree)}"
    held = httpx.get(where).json()
    assert (held["limit"], held["active_slots"]) == (1, 1)
    holder.stdin.close()
    assert holder.wait(60) == 0
    assert httpx.get(where).json()["active_slots"] == 0
