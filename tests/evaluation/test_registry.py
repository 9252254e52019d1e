"""Registering, the gate, and the decisions of people, on a real SQLite store."""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from catalog import schemas
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import Params
from catalog.tables import write_table
from evaluation.registry import decisions, lock
from evaluation.registry.gating import gate_version
from evaluation.registry.register import Candidate, register_candidate
from evaluation.registry.store import TAG, Registry, connect
from tests.evaluation.conftest import score_sharpener

Register = Callable[..., Candidate]


@pytest.fixture
def register(
    layout: Layout,
    params: Params,
    registry: Registry,
    model_folder: Callable[[int], Path],
) -> Register:
    """Register a model whose scores are those of a Sharpener of `percent`."""

    def make(seed: int, percent: int) -> Candidate:
        out = layout.root / f"results/evaluation-{seed}-{percent}"
        if not out.exists():
            score_sharpener(layout, percent, out)
        return register_candidate(layout, params, model_folder(seed), out)

    return make


def kinds(registry: Registry) -> list[tuple[str, str, str]]:
    return [(r.kind, r.version, r.by) for r in decisions.records(registry)]


def bare_version(registry: Registry, champion_seen: str = "none", verdict: str = "promote") -> str:
    """A version with a report and a verdict, but without a model: all that a decision reads."""
    client = registry.client
    run = client.create_run(registry.experiment())
    report = registry.layout.root / "report.html"
    report.write_text(f"<p>{run.info.run_id}</p>")
    client.log_artifact(run.info.run_id, str(report), "report")
    if not client.search_registered_models(f"name = '{registry.name}'"):
        client.create_registered_model(registry.name)
    made = client.create_model_version(registry.name, run.info.artifact_uri, run.info.run_id)
    number = str(made.version)
    registry.tag(
        number,
        verdict=verdict,
        champion_seen=champion_seen,
        report_path="report/report.html",
        report_sha256=hashlib.sha256(report.read_bytes()).hexdigest(),
        state="gated",
    )
    return number


def test_the_way_of_two_versions(
    layout: Layout, params: Params, register: Register, registry: Registry
) -> None:
    first = register(1, 100)
    gated = gate_version(layout, params, first.version)
    assert gated.verdict.verdict == "promote", gated.verdict.reasons
    assert gated.champion_seen is None
    assert hashlib.sha256(gated.report.read_bytes()).hexdigest() == gated.report_sha256
    again = gate_version(layout, params, first.version)
    assert again.report_sha256 == gated.report_sha256
    record = decisions.approve(layout, params, first.version, "Ada")
    assert (record.champion_before, record.champion_after) == ("none", "1")

    second = register(2, 300)
    assert gate_version(layout, params, second.version).verdict.verdict == "promote"
    decisions.approve(layout, params, second.version, "Ada")
    assert registry.aliases() == {"champion": "2", "previous": "1"}
    decisions.rollback(layout, params, "Ben", "haze got worse")
    assert registry.aliases() == {"champion": "1"}
    assert kinds(registry) == [
        ("approve", "1", "Ada"),
        ("approve", "2", "Ada"),
        ("rollback", "1", "Ben"),
    ]


def test_registering_twice_is_one_version_with_all_it_rests_on(
    layout: Layout, params: Params, register: Register, registry: Registry
) -> None:
    rows = [dict.fromkeys(schemas.DATASET.names, "x")]
    write_table(layout.dataset / "pairs.parquet", rows, schemas.DATASET)
    (layout.root / "dvc.lock").write_text(
        "stages: {assemble: {outs: [{path: data/dataset, md5: abc.dir}]}}"
    )
    log = [{"step": step, "loss": 1 / (step + 1), "when": "now"} for step in range(1500)]
    layout.transfer.mkdir(parents=True)
    (layout.transfer / "training.jsonl").write_text("\n".join(map(json.dumps, log)))
    first, second = register(1, 100), register(1, 100)
    assert (first.created, second.created) == (True, False)
    assert second.version == first.version
    assert len(registry.versions()) == 1
    tags = registry.version(1).tags
    assert tags["dataset"] == "md5:abc.dir"
    assert tags["judge"].startswith("sharpness-judge/1")
    run = registry.client.get_run(first.run_id)
    assert run.data.params["gate.min_images"] == "12"
    assert "overall/proxy_fs_released" in run.data.metrics
    assert not [name for name in run.data.metrics if "/fs" in name]
    assert len(registry.client.get_metric_history(first.run_id, "transfer/loss")) == 1500
    assert run.inputs.dataset_inputs[0].dataset.digest == "abc.dir"
    files = {f.path for f in registry.client.list_artifacts(first.run_id)}
    assert {"evaluation", "dataset", "lineage"} <= files
    assert registry.aliases() == {"candidate": "1"}


def test_a_model_loads_without_pickle_and_restores(
    layout: Layout, register: Register, registry: Registry
) -> None:
    import io

    import mlflow
    from PIL import Image

    from evaluation.registry.model import example

    register(1, 100)
    with registry.active():
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri="models:/mendline/1"))
        assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
        model = mlflow.pyfunc.load_model(str(folder))
    suffixes = {file.suffix for file in folder.rglob("*") if file.is_file()}
    assert not suffixes & {".pkl", ".pickle", ".pt", ".bin", ".joblib"}
    found = model.predict(example())["image"][0]
    assert Image.open(io.BytesIO(found)).size == (32, 32)
    wrong = example().assign(degradation="snow")
    with pytest.raises(mlflow.exceptions.MlflowException, match="'snow' is no degradation") as info:
        model.predict(wrong)
    assert info.value.get_http_status_code() == 400
    wrong = example().assign(image=[b"no image"])
    with pytest.raises(mlflow.exceptions.MlflowException, match="not an image") as info:
        model.predict(wrong)
    assert info.value.get_http_status_code() == 400


def test_a_champion_of_another_judge_is_scored_again(
    layout: Layout, params: Params, registry: Registry, model_folder: Callable[[int], Path]
) -> None:
    from evaluation.benchmark import read_benchmark
    from evaluation.evaluate import evaluate_model

    settings = params.evaluate.model_copy(update={"batch_size": 4, "repeat_images": 12})
    params = params.model_copy(update={"evaluate": settings})
    for task in sorted(layout.benchmark.iterdir())[3:]:
        shutil.rmtree(task)
    for seed, side in ((1, 64), (2, 48)):
        params = params.model_copy(
            update={"evaluate": settings.model_copy(update={"max_side": side})}
        )
        benchmark = read_benchmark(layout.benchmark, side)
        out = layout.root / f"results/{seed}"
        evaluate_model(layout, params.evaluate, benchmark, model_folder(seed), out)
        register_candidate(layout, params, model_folder(seed), out)
        if seed == 1:
            gate_version(layout, params, 1)
            decisions.approve(layout, params, 1, "Ada", override="the first")
    gated = gate_version(layout, params, 2)
    assert not [reason for reason in gated.verdict.reasons if "cannot be compared" in reason]
    assert gated.verdict.difference.n == 12

    kept = params.model_copy(
        update={"gate": params.gate.model_copy(update={"rescore_champion": False})}
    )
    refused = gate_version(layout, kept, 2)
    assert refused.verdict.verdict == "inconclusive"
    assert any("cannot be compared, benchmark" in reason for reason in refused.verdict.reasons)


def test_a_model_that_learned_from_a_taken_down_image_is_not_promoted(
    layout: Layout, params: Params, register: Register
) -> None:
    pairs = [
        {name: f"{name}-{i}" for name in schemas.DATASET.names} | {"degraded_id": f"{i}" * 64}
        for i in range(3)
    ]
    write_table(layout.dataset / "pairs.parquet", pairs, schemas.DATASET)
    register(1, 100)
    assert gate_version(layout, params, 1).verdict.verdict == "promote"
    by_hash = bytes(range(32))
    hashes = [dict.fromkeys(schemas.HASHES.names) | {"image_id": "2" * 64, "phash": by_hash}]
    write_table(layout.hashes, hashes, schemas.HASHES)
    near = bytes([by_hash[0] ^ 0b111]) + by_hash[1:]
    blocked = [
        {"kind": "image_id", "value": "1" * 64, "reason": "asked", "added": "x"},
        {"kind": "image_id", "value": "9" * 64, "reason": "not ours", "added": "x"},
        {"kind": "image_id", "value": "photo_id-0", "reason": "behind both sides", "added": "x"},
        {"kind": "phash", "value": near.hex(), "reason": "asked", "added": "x"},
    ]
    write_table(layout.blocklist, blocked, schemas.BLOCKLIST)
    found = gate_version(layout, params, 1)
    assert found.verdict.verdict == "inconclusive"
    assert "3 taken-down image(s)" in found.verdict.reasons[0]


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
    registry.tag(third, champion_seen=first)
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


@pytest.mark.parametrize("verdict", ["reject", "inconclusive"])
def test_only_promote_is_approved_unless_overridden(
    layout: Layout, params: Params, registry: Registry, verdict: str
) -> None:
    version = bare_version(registry, verdict=verdict)
    with pytest.raises(UserError, match=f"verdict on version 1 is {verdict}"):
        decisions.approve(layout, params, version, "Ada")
    assert registry.champion() is None
    record = decisions.approve(layout, params, version, "Ada", override="looked at every picture")
    assert record.reason == "override: looked at every picture"
    assert (registry.champion(), record.verdict) == (version, verdict)


def test_without_the_gate_nothing_is_approved(
    layout: Layout, params: Params, register: Register
) -> None:
    register(1, 100)
    with pytest.raises(UserError, match="has not been through the gate"):
        decisions.approve(layout, params, 1, "Ada", override="in a hurry")


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
    assert decisions.records(registry)[0].reason == "it paints stars"


def _die_after_the_record(root: Path, version: str) -> None:
    registry = connect(Layout(root), "mendline")
    past = decisions.settle(registry)
    before = registry.champion()
    decisions._append(registry, past, "approve", version, before, version, before, "Ada", "x")
    os.kill(os.getpid(), signal.SIGKILL)


def _die_after_the_champion(root: Path, version: str) -> None:
    registry = connect(Layout(root), "mendline")
    past = decisions.settle(registry)
    before = registry.champion()
    decisions._append(registry, past, "approve", version, before, version, before, "Ada", "x")
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


def test_a_champion_moved_by_hand_is_recorded(
    layout: Layout, params: Params, registry: Registry
) -> None:
    first, second, third = (bare_version(registry) for _ in range(3))
    decisions.approve(layout, params, first, "Ada")
    registry.client.set_registered_model_alias(registry.name, "champion", second)
    registry.tag(third, champion_seen=second)
    decisions.approve(layout, params, third, "Ada")
    assert [r.kind for r in decisions.records(registry)] == ["approve", "moved", "approve"]
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
    registry.tag(third, champion_seen=first)
    with pytest.raises(UserError, match="entry 2 does not follow"):
        decisions.approve(layout, params, third, "Ada")
    assert registry.champion() == first


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


def _promoter(root: Path, number: int, trials: int, barrier: object) -> None:
    layout = Layout(root)
    from catalog.settings import load_params

    params = load_params(layout.params)
    for trial in range(trials):
        barrier.wait()  # type: ignore[attr-defined]
        try:
            decisions.approve(layout, params, 6 * trial + number + 1, f"promoter {number}")
        except UserError as error:
            assert "compared version" in error.what, error
        barrier.wait()  # type: ignore[attr-defined]


def race(layout: Layout, registry: Registry, trials: int) -> None:
    """Six processes approve six versions that all saw the same champion; one may win."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([decisions.__name__])  # imports MLflow once, not six times
    barrier = context.Barrier(7)
    workers = [
        context.Process(target=_promoter, args=(layout.root, number, trials, barrier))
        for number in range(6)
    ]
    bare_version(registry)  # makes the model and the experiment before the others look
    for _ in range(6 * trials - 1):
        bare_version(registry)
    for worker in workers:
        worker.start()
    champion = "none"
    try:
        for trial in range(trials):
            group = [str(6 * trial + number + 1) for number in range(6)]
            for version in group:
                registry.tag(version, champion_seen=champion)
            barrier.wait(120)
            barrier.wait(120)
            found = decisions.records(registry)
            assert len(found) == trial + 1, "exactly one of six may win"
            assert found[-1].champion_before == champion
            champion = registry.champion() or ""
            assert champion in group
            assert found[-1].champion_after == champion
            expected = found[-1].champion_before
            assert registry.aliases().get("previous", "none") == expected
    finally:
        for worker in workers:
            worker.join(30)
            if worker.is_alive():
                worker.kill()
    assert [worker.exitcode for worker in workers] == [0] * 6


def test_six_promoters_at_once(layout: Layout, registry: Registry) -> None:
    race(layout, registry, 3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_six_promoters_a_hundred_times(layout: Layout, registry: Registry) -> None:
    race(layout, registry, 100)
