"""The gate's verdict on a version as plain data, for flows."""

from typing import Any

from catalog.layout import Layout
from catalog.settings import Params


def run_gate(layout: Layout, params: Params, version: str) -> dict[str, Any]:
    """Gate `version`, or say what was said of one that a person has decided on.

    Keys: version, verdict, reasons, against, state, report (a local path), report_sha256.
    """
    from evaluation.registry.gating import gate_version
    from evaluation.registry.store import UNDECIDED, connect

    registry = connect(layout, params.gate.model_name)
    with registry.reachable():
        tags = dict(registry.version(version).tags)
        if registry.champion() == str(version) and tags.get("state") in UNDECIDED:
            tags["state"] = "approved"  # the approval was killed after its effect
        decided = tags.get("state", "registered") not in UNDECIDED
        if decided and "verdict" in tags:
            seen = tags.get("champion_seen", "none")
            return {
                "version": version,
                "verdict": tags["verdict"],
                "reasons": [tags.get("reasons", ""), f"A person has {tags['state']} it."],
                "against": "the unrestored input" if seen == "none" else f"version {seen}",
                "state": tags["state"],
                "report": str(registry.reports / f"{registry.name}-v{version}.html"),
                "report_sha256": tags.get("report_sha256", "none"),
            }
    gated = gate_version(layout, params, version)
    return {
        "version": gated.version,
        "verdict": gated.verdict.verdict,
        "reasons": list(gated.verdict.reasons),
        "against": gated.verdict.against,
        "state": "gated",
        "report": str(gated.report),
        "report_sha256": gated.report_sha256,
    }
