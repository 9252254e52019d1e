"""Versions in a real store, for the tests of the registry."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from evaluation.registry.contents import note_contents, read_contents
from evaluation.registry.records import records
from evaluation.registry.store import Registry
from evaluation.report import seal

WEIGHTS = "model/weights.txt"
"""Of a bare version, in its run."""


def kinds(registry: Registry) -> list[tuple[str, str, str]]:
    """Kind, version and person of each recorded decision."""
    return [(r.kind, r.version, r.by) for r in records(registry)]


def bare_version(registry: Registry, champion_seen: str = "none", verdict: str = "promote") -> str:
    """A version with a report and a verdict, and a file for a model: all that a decision reads."""
    client = registry.client
    run = client.create_run(registry.experiment())
    if not client.search_registered_models(f"name = '{registry.name}'"):
        client.create_registered_model(registry.name)
    client.log_text(run.info.run_id, "weights", WEIGHTS)
    place = f"{run.info.artifact_uri}/{Path(WEIGHTS).parent}"
    made = client.create_model_version(registry.name, place, run.info.run_id)
    gated(registry, str(made.version), champion_seen, verdict)
    return str(made.version)


def gated(registry: Registry, version: str, champion_seen: str, verdict: str = "promote") -> None:
    """What the gate leaves of `version`: a report and the tags."""
    contents = read_contents(registry, version)
    digest = note_contents(registry, registry.version(version), contents)
    report = registry.layout.root / "report.html"
    report.write_text(f"{seal(version, champion_seen, verdict, digest)}<p>{version}</p>")
    registry.client.log_artifact(registry.version(version).run_id, str(report), "report")
    registry.tag(
        version,
        verdict=verdict,
        champion_seen=champion_seen,
        report_path="report/report.html",
        report_sha256=hashlib.sha256(report.read_bytes()).hexdigest(),
        state="gated",
    )


def consume(registry: Registry, folder: Path, script: str) -> dict[str, Any]:
    """What `script` prints as JSON about the model in `folder`.

    A process of its own: loading puts the version's own code before everything on the path.
    """
    answer = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        cwd=registry.layout.root,
        env=os.environ | {"MLFLOW_TRACKING_URI": registry.uri},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    assert Path(found["code"]).is_relative_to(folder)
    return found
