"""Versions in a real store, for the tests of the registry."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from evaluation.registry.records import records
from evaluation.registry.store import Registry


def kinds(registry: Registry) -> list[tuple[str, str, str]]:
    """Kind, version and person of each recorded decision."""
    return [(r.kind, r.version, r.by) for r in records(registry)]


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
