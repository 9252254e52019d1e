"""Register a trained and evaluated model as the candidate, with all that it rests on."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag
from mlflow.models.model import ModelInfo

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import Params
from evaluation.lineage import dataset_digest, git_commit
from evaluation.registry.bundles import Bundle, read_bundle
from evaluation.registry.contents import note_contents, read_contents
from evaluation.registry.lock import locked
from evaluation.registry.model import log_model
from evaluation.registry.store import CANDIDATE, TAG, Registry, connect
from evaluation.scores import ScoreTable

EVALUATION = "evaluation"
"""Artifact folder of a run that holds scores.parquet, summary.json and pictures."""
LEARNED = "dataset/pairs.parquet"
KEPT = ".mendline/bundles"
"""Large models that versions refer to, in the work tree."""
_BATCH = 900  # MLflow takes at most 1,000 metrics in one call
_LONGEST = 500


@dataclass(frozen=True)
class Candidate:
    """A registered version."""

    version: str
    run_id: str
    created: bool
    """False when the same model, data and scores were registered before."""


def register_candidate(
    layout: Layout,
    params: Params,
    model: Path | None = None,
    evaluation: Path | None = None,
) -> Candidate:
    """Log `model` (models/finetune) with `evaluation` (results/evaluation), alias it candidate.

    Idempotent: the key is the hash of the weights, of the dataset and of the scores; what has it
    already is returned, and a run that a kill left unfinished is made anew. Raises `UserError`.
    """
    registry = connect(layout, params.gate.model_name)
    model, evaluation = model or layout.finetune, evaluation or layout.evaluation
    scores = evaluation / "scores.parquet"
    if not scores.exists():
        raise UserError(f"There are no scores {scores}.", "Run `dvc repro evaluate` first.")
    table = ScoreTable.read(scores)
    bundle, dataset = read_bundle(model), dataset_digest(layout)
    _check_scored(bundle, table)
    summary = (evaluation / "summary.json").read_text("utf-8")
    key = _key(bundle.digest, dataset, summary)
    with registry.reachable(), locked(registry):
        for version in registry.versions():
            if version.tags.get("key") == key:
                return Candidate(version.number, version.run_id, False)
        run_id = _log_run(registry, layout, params, model, evaluation, json.loads(summary), dataset)
        with registry.active(), mlflow.start_run(run_id=run_id):
            number = _version(registry, log_model(bundle, layout.root / KEPT), run_id)
        registry.tag(
            number,
            weights=bundle.digest,
            kind=bundle.kind,
            dataset=dataset,
            commit=git_commit(layout.root),
            judge=table.provenance.judge,
            consistency=table.provenance.consistency,
            benchmark=table.provenance.benchmark_digest,
            score_name=table.provenance.score_name,
            parent=registry.champion() or "none",
            state="registered",
        )
        made = registry.version(number)
        note_contents(registry, made, read_contents(registry, number))
        registry.client.set_registered_model_alias(registry.name, CANDIDATE, number)
        # Last: what has the key is whole, and what a kill left without it is made anew.
        registry.tag(number, key=key)
        return Candidate(number, run_id, True)


def _check_scored(bundle: Bundle, table: ScoreTable) -> None:
    """Refuse a student that was trained on after it was scored: nobody knows how good it is.

    Of large models the scores name the network's parameters, which are not read here.
    """
    from networks.student.files import FORMAT, student_identity

    scored = table.provenance
    if bundle.kind != "student" or not scored.model.startswith(f"{FORMAT.split('/')[0]}/"):
        return
    own = student_identity(bundle.folder)
    if own.digest != scored.model_digest:
        raise UserError(
            f"The scores are of {scored.model}, and {bundle.folder} holds {own}.",
            "Run `dvc repro evaluate`, then again.",
        )


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _version(registry: Registry, logged: ModelInfo, run_id: str) -> str:
    existing = registry.client.search_registered_models(f"name = '{registry.name}'")
    if not existing:
        registry.client.create_registered_model(
            registry.name, description="Restoration models of this work tree, gated by Mendline."
        )
    made = registry.client.create_model_version(
        registry.name,
        source=logged.model_uri,
        run_id=run_id,
        # A server refuses a source that is not that of the model it belongs to.
        model_id=logged.model_id,
    )
    return str(made.version)


def _log_run(
    registry: Registry,
    layout: Layout,
    params: Params,
    model: Path,
    evaluation: Path,
    summary: dict[str, Any],
    dataset: str,
) -> str:
    client = registry.client
    run = client.create_run(registry.experiment(), run_name=f"{params.profile} {dataset[-8:]}")
    run_id = run.info.run_id
    commit = git_commit(layout.root)
    tags = [RunTag("mlflow.source.git.commit", commit), RunTag(f"{TAG}dataset", dataset)]
    client.log_batch(run_id, tags=tags)
    client.log_inputs(
        run_id,
        datasets=[
            DatasetInput(
                Dataset(
                    name="data/dataset",
                    digest=dataset.partition(":")[2][:36] or "none",
                    source_type="local",
                    source=json.dumps({"uri": "data/dataset", "dvc": dataset}),
                )
            )
        ],
    )
    flat = [
        Param(name, value[:_LONGEST]) for name, value in flatten(params.model_dump(mode="json"))
    ]
    for start in range(0, len(flat), 100):
        client.log_batch(run_id, params=flat[start : start + 100])
    metrics = [*_scores(summary), *_curves(layout.transfer), *_curves(model)]
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
    client.log_artifacts(run_id, str(evaluation), EVALUATION)
    pairs = layout.dataset / "pairs.parquet"
    for file, folder in (
        (pairs, "dataset"),
        (layout.dataset / "README.md", "dataset"),
        (layout.dataset / "croissant.json", "dataset"),
        (layout.params, "lineage"),
        (layout.root / "dvc.lock", "lineage"),
    ):
        if file.exists():
            client.log_artifact(run_id, str(file), folder)
    client.set_terminated(run_id)
    return run_id


def flatten(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names and text."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value, ensure_ascii=False)


def _scores(summary: dict[str, Any]) -> Iterator[Metric]:
    name = summary["score_name"]
    for task, values in summary["tasks"].items():
        for reading, interval in values.items():
            title = f"{name}_{reading}" if reading in ("released", "paper", "signed") else reading
            if summary["proxy"] and reading == "rs":
                title = "proxy_rs"
            for bound, suffix in (("estimate", ""), ("low", ".low"), ("high", ".high")):
                if interval[bound] is not None:
                    yield Metric(f"{task}/{title}{suffix}", interval[bound], 0, 0)


def _curves(model: Path) -> Iterator[Metric]:
    log = model / "training.jsonl"
    if not log.exists():
        return
    for line in log.read_text("utf-8").splitlines():
        record = json.loads(line)
        step = int(record.get("step", 0))
        for name, value in record.items():
            if name != "step" and isinstance(value, int | float) and not isinstance(value, bool):
                yield Metric(f"{model.name}/{name}", float(value), 0, step)
