"""Put a registered version through the gate and write its report."""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from catalog.errors import UserError
from catalog.files import atomic_file
from catalog.layout import Layout
from catalog.log import logger
from catalog.settings import Params
from evaluation.benchmark import open_benchmark
from evaluation.evaluate import evaluate_model
from evaluation.exposure import exposed
from evaluation.gate import Verdict, decide
from evaluation.lineage import dataset_digest
from evaluation.registry.contents import (
    check_contents,
    contents_digest,
    note_contents,
    read_contents,
)
from evaluation.registry.fetching import fetched
from evaluation.registry.flagging import blocked, digest_of, learned, uncheckable
from evaluation.registry.lock import locked
from evaluation.registry.records import NONE, report_path
from evaluation.registry.register import EVALUATION
from evaluation.registry.store import UNDECIDED, Registry, Version, connect
from evaluation.registry.turns import take_turn
from evaluation.report import Side, build_report, seal
from evaluation.report.dropped import dropped
from evaluation.scores import ScoreTable
from evaluation.statistics import Agreement


@dataclass(frozen=True)
class Gated:
    """A version with its verdict and report."""

    version: str
    verdict: Verdict
    champion_seen: str | None
    report: Path
    """Local copy of the report."""
    report_sha256: str
    report_uri: str
    """Of the artifact in MLflow."""


def gate_version(layout: Layout, params: Params, version: str | int) -> Gated:
    """Compare a version with the champion, log the report, tag the version with the verdict.

    Idempotent: the same version against the same champion gives the same report, to the byte.
    Nothing is promoted here. Raises `UserError`, also where a file of the version is not the one
    that was registered, and where the version is decided on meanwhile: the decision stands.
    """
    registry = connect(layout, params.gate.model_name)
    with registry.reachable(), tempfile.TemporaryDirectory() as scratch:
        found = registry.version(version)
        champion = registry.champion()
        if champion == found.number:
            raise UserError(
                f"Version {version} is the champion already.", "The gate compares another version."
            )
        contents = read_contents(registry, found.number)
        check_contents(registry, found, contents)
        folder = _evaluation(registry, found.run_id, Path(scratch) / "candidate")
        mine = Side(f"version {found.number}", ScoreTable.read(folder / "scores.parquet"), folder)
        obstacles: list[str] = []
        theirs = None
        known = learned(registry, found.run_id)
        if uncheckable(layout, known):
            obstacles.append(
                "What the model learned from is not on record (dataset/pairs.parquet of its run): "
                "take-downs cannot be looked up. Register it anew from its work tree."
            )
        blocked_now = blocked(layout, known, params.gate.takedown_bits)
        asked = {row.image_id for row in mine.table.rows}
        if own := sorted(exposed(layout, known, asked) or ()):
            obstacles.append(
                f"The model learned from {len(own)} of the benchmark's images, or other versions "
                f"of them, such as {own[0][:12]}; train it again on a dataset without them."
            )
        seen: set[str] | None = set()
        if champion is not None:
            seen = exposed(layout, learned(registry, registry.version(champion).run_id), asked)
            theirs = _champion(layout, params, registry, champion, mine, Path(scratch), obstacles)
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        repeat = _repeat(summary)
        turn = take_turn(registry, found, champion, mine.table.provenance.benchmark_digest)
        verdict = decide(
            mine.table,
            theirs.table if theirs else None,
            repeat,
            params.gate,
            f"champion version {champion}",
            blocked_now,
            obstacles,
            turn,
            seen,
        )
        page = build_report(
            mine,
            theirs,
            verdict,
            repeat,
            summary["failures"],
            dropped(layout) if dataset_digest(layout) == found.tags.get("dataset") else None,
            _lineage(found.tags) | {"Files in the registry (SHA-256)": contents_digest(contents)},
            summary.get("extras", {}),
            seal(found.number, champion or NONE, verdict.verdict, contents_digest(contents)),
        )
        if "contents" not in found.tags:  # registered before there were such lists
            note_contents(registry, found, contents)
        return _publish(registry, found, champion, verdict, page, digest_of(blocked_now))


def _publish(
    registry: Registry,
    found: Version,
    champion: str | None,
    verdict: Verdict,
    page: str,
    taken_down: str,
) -> Gated:
    version, run_id = found.number, found.run_id
    data = page.encode()
    digest = hashlib.sha256(data).hexdigest()
    local = registry.reports / f"{registry.name}-v{version}.html"
    with atomic_file(local) as temporary:
        temporary.write_bytes(data)
    path = report_path(digest)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "report.html"
        copy.write_bytes(data)
        registry.client.log_artifact(run_id, str(copy), str(Path(path).parent))
    # Under the lock: a decision sees the tags of one gate, not of two.
    with locked(registry):
        state = registry.version(version).tags.get("state")
        if state != found.tags.get("state") and state not in UNDECIDED:
            raise UserError(
                f"Version {version} was {state} while the gate looked at it; the verdict "
                f"({verdict.verdict}) was not recorded.",
                f"Where it is still wanted: `mendline review --gate {version}`.",
            )
        registry.tag(
            version,
            verdict=verdict.verdict,
            reasons=" ".join(verdict.reasons)[:4000],
            champion_seen=champion or NONE,
            difference=json.dumps(verdict.difference.as_json()),
            gate=json.dumps(verdict.as_json())[:90_000],
            report_path=path,
            report_sha256=digest,
            taken_down_seen=taken_down,
            state="gated",
        )
        registry.client.update_model_version(
            registry.name, version, f"{verdict.verdict}: {' '.join(verdict.reasons)}"[:4000]
        )
    uri = f"{registry.client.get_run(run_id).info.artifact_uri}/{path}"
    return Gated(version, verdict, champion, local, digest, uri)


def _evaluation(registry: Registry, run_id: str, target: Path) -> Path:
    """Download a run's evaluation folder."""
    target.mkdir(parents=True)
    return Path(registry.client.download_artifacts(run_id, EVALUATION, str(target)))


def _champion(
    layout: Layout,
    params: Params,
    registry: Registry,
    champion: str,
    mine: Side,
    scratch: Path,
    obstacles: list[str],
) -> Side:
    """The champion's scores, made anew where those it was registered with are not comparable."""
    name = f"champion version {champion}"
    run_id = registry.version(champion).run_id
    folder = _evaluation(registry, run_id, scratch / "champion")
    table = ScoreTable.read(folder / "scores.parquet")
    differing = table.provenance.mismatch(mine.table.provenance)
    if not differing or not params.gate.rescore_champion:
        return Side(name, table, folder)
    benchmark = open_benchmark(layout, params.evaluate.max_side)
    if benchmark.digest != mine.table.provenance.benchmark_digest:
        obstacles.append(
            "The benchmark of this work tree is not the one that the candidate was scored on, so "
            f"{name} cannot be scored again on it; run `dvc repro evaluate` and register anew."
        )
        return Side(name, table, folder)
    logger(__name__).info("champion is scored again", version=champion, because=differing)
    wanted = mine.table.provenance
    digests = (wanted.judge_digest, wanted.consistency_digest, wanted.benchmark_digest)
    parts = [part[:16] for part in (table.provenance.model_digest, *digests)]
    again = layout.scratch("champion") / "-".join(parts)
    kept = again / "scores.parquet"
    # What the settings name may not be what the candidate was scored by: such scores are of no use
    # to a later gate.
    if not kept.exists() or ScoreTable.read(kept).provenance.mismatch(wanted):
        with fetched(registry, champion) as files:
            evaluate_model(layout, params.evaluate, benchmark, files, again)
    return Side(name, ScoreTable.read(kept), again)


def _repeat(summary: dict) -> Agreement:
    values = summary["repeat"]
    same, kappa = (float("nan") if values[k] is None else values[k] for k in ("same", "kappa"))
    return Agreement(values["images"], same, kappa)


def _lineage(tags: Mapping[str, str]) -> dict[str, str]:
    names = {
        "dataset": "Dataset (DVC)",
        "commit": "Commit",
        "weights": "Weights (SHA-256)",
        "judge": "Judge",
        "consistency": "Consistency",
        "benchmark": "Benchmark (SHA-256)",
        "parent": "Champion when trained",
    }
    return {title: tags[key] for key, title in names.items() if key in tags}
