"""Registering and the gate on a real SQLite store."""

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from catalog import schemas
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import Params
from catalog.tables import write_table
from evaluation.registry import decisions
from evaluation.registry.contents import read_contents
from evaluation.registry.gating import gate_version
from evaluation.registry.lock import locked
from evaluation.registry.register import Candidate, register_candidate
from evaluation.registry.store import TAG, Registry, connect
from evaluation.registry.turns import take_turn
from evaluation.scores import Provenance, ScoreTable
from flows.cli import mendline
from networks.interfaces import Identity
from tests.evaluation.conftest import score_sharpener
from tests.evaluation.curated import write_curation
from tests.evaluation.registering import consume, kinds

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


def test_a_decision_while_the_gate_looks_stands(
    register: Register, layout: Layout, params: Params, registry: Registry
) -> None:
    version = register(1, 100).version
    found = registry.version(version)
    take_turn(registry, found, None, found.tags["benchmark"])  # so that it wants no lock for that
    report = registry.reports / f"{registry.name}-v{version}.html"
    with ThreadPoolExecutor(1) as pool:
        with locked(registry):
            gate = pool.submit(gate_version, layout, params, version)
            while not report.exists():  # it is written just before the gate wants the lock
                wait([gate], timeout=0.02)
                assert not gate.done()
            registry.tag(version, state="rejected")
        with pytest.raises(UserError, match="was rejected while the gate looked at it"):
            gate.result()
    tags = registry.version(version).tags
    assert tags["state"] == "rejected"
    assert "verdict" not in tags
    # Asked for again, it is gated: a person may think better of it.
    assert gate_version(layout, params, version).verdict.verdict == "promote"
    assert registry.version(version).tags["state"] == "gated"


def test_weights_swapped_in_the_store_pass_no_gate_and_no_approval(
    register: Register, layout: Layout, params: Params, registry: Registry
) -> None:
    version = register(1, 100).version
    registry.client.delete_model_version_tag(registry.name, version, f"{TAG}contents")
    gated = gate_version(layout, params, version)  # registered before there were lists of files
    digest = registry.version(version).tags["contents"]
    assert digest in gated.report.read_text("utf-8")
    (weights,) = (layout.mlflow_database.parent / "artifacts").rglob("model.safetensors")
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    changed = r"artifacts/files/model\.safetensors was changed"
    with pytest.raises(UserError, match=changed):
        decisions.approve(layout, params, version, "Ada")
    with pytest.raises(UserError, match=changed):
        gate_version(layout, params, version)
    weights.write_bytes(kept)
    assert gate_version(layout, params, version).report_sha256 == gated.report_sha256
    assert decisions.approve(layout, params, version, "Ada").champion_after == version


def test_what_another_dataset_lost_is_not_told_of_a_version(
    register: Register, layout: Layout, params: Params
) -> None:
    write_curation(layout)
    version = register(1, 100).version
    first = gate_version(layout, params, version).report.read_text("utf-8")
    assert "matches the benchmark" in first
    layout.dataset.mkdir(parents=True, exist_ok=True)
    (layout.dataset / "later.parquet").write_bytes(b"another dataset")
    second = gate_version(layout, params, version).report.read_text("utf-8")
    assert "matches the benchmark" not in second
    assert "holds another dataset than this version learned from" in second


def test_the_way_of_two_versions(
    layout: Layout, params: Params, register: Register, registry: Registry
) -> None:
    first = register(1, 100)
    assert not [path for path in read_contents(registry, first.version) if "__pycache__" in path]
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


CONSUMER = """
import json, sys
from io import BytesIO

import mlflow
from PIL import Image

model = mlflow.pyfunc.load_model(sys.argv[1])
import networks
from evaluation.registry.model import example

found = {"code": networks.__file__}
found["size"] = Image.open(BytesIO(model.predict(example())["image"][0])).size
for name, wrong in (("degradation", "snow"), ("image", [b"no image"])):
    try:
        model.predict(example().assign(**{name: wrong}))
    except mlflow.exceptions.MlflowException as error:
        found[name] = [error.get_http_status_code(), str(error)]
print(json.dumps(found))
"""


def test_a_model_loads_without_pickle_and_restores(
    layout: Layout, register: Register, registry: Registry
) -> None:
    import mlflow

    register(1, 100)
    with registry.active():
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri="models:/mendline/1"))
    suffixes = {file.suffix for file in folder.rglob("*") if file.is_file()}
    assert not suffixes & {".pkl", ".pickle", ".pt", ".bin", ".joblib"}
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    found = consume(registry, folder, CONSUMER)
    assert found["size"] == [32, 32]
    assert found["degradation"][0] == 400 and "'snow' is no degradation" in found["degradation"][1]
    assert found["image"][0] == 400 and "not an image" in found["image"][1]


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

    # Scores kept by an earlier gate with another distance are not taken for these.
    (kept,) = layout.scratch("champion").rglob("scores.parquet")
    table = ScoreTable.read(kept)
    replace(table, provenance=replace(table.provenance, consistency_digest="other")).write(kept)
    again = gate_version(layout, params, 2)
    assert again.verdict.difference == gated.verdict.difference
    assert not [reason for reason in again.verdict.reasons if "cannot be compared" in reason]

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


def test_a_take_down_after_the_gate_stops_the_approval_and_flags_the_version(
    layout: Layout,
    params: Params,
    register: Register,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = [{name: f"{name}-0" for name in schemas.DATASET.names} | {"degraded_id": "1" * 64}]
    write_table(layout.dataset / "pairs.parquet", pairs, schemas.DATASET)
    register(1, 100)
    assert gate_version(layout, params, 1).verdict.verdict == "promote"
    monkeypatch.chdir(layout.root)
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(mendline, ["takedown", "1" * 64, "--reason", "asked"])
    assert done.exit_code == 0, done.output
    assert "Version 1 learned from 1 taken-down image(s): flagged." in done.output
    assert registry.version(1).tags["taken_down"] == "1"
    assert "learned from 1 taken-down" in CliRunner().invoke(mendline, ["review"]).output
    with pytest.raises(UserError, match=r"1 image\(s\) that it learned from have been taken down"):
        decisions.approve(layout, params, 1, "Ada")
    assert registry.champion() is None
    assert gate_version(layout, params, 1).verdict.verdict == "inconclusive"
    record = decisions.approve(layout, params, 1, "Ada", override="the owner agreed since")
    assert record.verdict == "inconclusive"


def test_without_the_gate_nothing_is_approved(
    layout: Layout, params: Params, register: Register
) -> None:
    register(1, 100)
    with pytest.raises(UserError, match="has not been through the gate"):
        decisions.approve(layout, params, 1, "Ada", override="in a hurry")


def test_a_registration_killed_before_its_alias_is_made_anew(
    layout: Layout, register: Register, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MlflowClient, "set_registered_model_alias", die)
        register(1, 100)
    again = register(1, 100)
    assert again.created
    assert registry.aliases() == {"candidate": again.version}


def test_a_student_that_was_trained_on_after_it_was_scored_is_not_registered(
    layout: Layout, params: Params, model_folder: Callable[[int], Path], registry: Registry
) -> None:
    from networks.student.restorer import StudentRestorer

    scored, trained_on = model_folder(1), model_folder(2)
    out = layout.root / "results/evaluation"
    found = score_sharpener(layout, 100, out)
    student = StudentRestorer.from_folder(scored).identity
    one = Identity("x", "1")
    who = Provenance.of(one, one, student, "bench", "digest")
    replace(found.table, provenance=who).write(out / "scores.parquet")
    with pytest.raises(UserError, match="The scores are of mendline-student"):
        register_candidate(layout, params, trained_on, out)
    assert register_candidate(layout, params, scored, out).created


@pytest.mark.parametrize("uri", ["nonsense://host", "127.0.0.1:5000", "postgresql+none://u:p@h/d"])
def test_an_address_that_is_no_registry_is_said_in_words(
    layout: Layout, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI names it") as told:
        connect(layout, "mendline")
    assert "u:p@" not in str(told.value)


def test_a_lock_whose_database_is_away_is_not_taken_for_the_registry(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # nobody listens there, and nobody else can
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("MENDLINE_LOCK_URL", f"postgresql://u:secret@{place}/x")
        with pytest.raises(UserError, match="MENDLINE_LOCK_URL") as told, locked(registry):
            pass
    assert f"The database of the lock, postgresql://u:***@{place}/x" in told.value.what
    assert "secret" not in str(told.value)


def test_what_dvc_repro_made_is_registered_and_gated_by_a_command(
    layout: Layout,
    registry: Registry,
    model_folder: Callable[[int], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(layout.root)
    waits = CliRunner().invoke(mendline, ["review"], catch_exceptions=False).output
    assert "No version waits for a decision. `mendline register`" in waits
    with pytest.raises(UserError, match="dvc repro evaluate"):
        CliRunner().invoke(mendline, ["register"], catch_exceptions=False)
    shutil.copytree(model_folder(3), layout.finetune)
    score_sharpener(layout, 150, layout.evaluation)
    done = CliRunner().invoke(mendline, ["register"], catch_exceptions=False).output
    assert done.startswith("Version 1: ")
    assert "Report: " in done
    assert registry.aliases() == {"candidate": "1"}
    assert registry.version("1").tags["state"] == "gated"
    again = CliRunner().invoke(mendline, ["register"], catch_exceptions=False).output
    assert again.startswith("Version 1, registered before: ")
