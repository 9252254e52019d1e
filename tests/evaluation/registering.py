"""Versions in a real store, for the tests of the registry."""

import hashlib

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
