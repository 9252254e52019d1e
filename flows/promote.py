"""The promote flow: gate, a person, lock, compare, set.

`suspend_flow_run` runs the flow again from the top after the approval, so all before it is
idempotent: the gate finds its own verdict. What happens after it, under a lock with the champion
read again, is `evaluation.registry.decisions`, which `mendline approve` calls as well.
"""

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import load_params
from flows.environment import has_server
from flows.own_server import end_with_us
from flows.refresh import gate

_DAY = 86_400


class Decision(RunInput):
    """What the person says. Prefect knows nobody's name, so we ask for it."""

    approve: bool
    by: str
    reason: str = ""


@task(name="waiting version", cache_policy=NO_CACHE, retries=2, retry_delay_seconds=5)
def waiting(root: str) -> str | None:
    """The version with alias candidate, None when nobody's decision is asked for."""
    from evaluation.registry.store import CANDIDATE, connect

    layout = Layout(Path(root))
    registry = connect(layout, load_params(layout.params).gate.model_name)
    with registry.reachable():
        return registry.aliases().get(CANDIDATE)


@task(name="decide", cache_policy=NO_CACHE)
def decide(root: str, version: str, decision: dict[str, Any], report_sha256: str) -> str:
    """Carry the decision out, bound to the report that was shown; return what was done."""
    from evaluation.registry.decisions import approve, reject

    layout = Layout(Path(root))
    params = load_params(layout.params)
    if decision["approve"]:
        approve(layout, params, version, decision["by"], report_sha256=report_sha256)
        return "approved"
    reject(layout, params, version, decision["by"], decision["reason"])
    return "rejected"


@flow(name="promote", persist_result=True, validate_parameters=False)
def promote(root: str = ".", version: str | None = None, days: float = 7.0) -> dict[str, Any]:
    """Ask a person about a gated version (the candidate), and do what they say.

    The run suspends for at most `days`; what is decided meanwhile by `mendline approve` or
    `reject` holds. Only the verdict promote is asked about. Without a server the run says what
    waits and ends: a suspended run needs one.
    """
    end_with_us()
    place = str(Path(root).resolve())
    asked = version or waiting(place)
    if asked is None:
        return {"outcome": "nothing waits"}
    verdict = gate(place, asked)
    _show(asked, verdict)
    if verdict["state"] != "gated":
        return {"outcome": verdict["state"], **verdict}
    if verdict["verdict"] != "promote":
        return {"outcome": "not promoted", **verdict}
    if not (has_server() and _deployed()):
        return {"outcome": "waits", **verdict}
    decision = suspend_flow_run(
        wait_for_input=Decision.with_initial_data(
            description=_question(asked, verdict), approve=False, by="", reason=""
        ),
        timeout=round(days * _DAY),
        # With the report's hash: where the champion moved meanwhile, the gate wrote another report,
        # and an answer to the first is none to the second. The run then asks again.
        key=f"version-{asked}-{verdict['report_sha256'][:12]}",
    )
    try:
        outcome = decide(place, asked, decision.model_dump(), verdict["report_sha256"])
    except UserError as error:
        get_run_logger().error("%s %s", error.what, error.remedy)
        raise
    return {"outcome": outcome, **verdict}


def _deployed() -> bool:
    context = FlowRunContext.get()
    return bool(context and context.flow_run and context.flow_run.deployment_id)


def _question(version: str, verdict: dict[str, Any]) -> str:
    reasons = "\n".join(f"- {reason}" for reason in verdict["reasons"])
    report = Path(verdict["report"]).resolve()
    return (
        f"# Make version {version} the champion?\n\nThe gate says **{verdict['verdict']}** "
        f"against {verdict['against']}:\n{reasons}\n\nReport: [{report.name}]({report.as_uri()})\n"
    )


def _show(version: str, verdict: dict[str, Any]) -> None:
    create_markdown_artifact(
        key="promote",
        description=f"Version {version}: {verdict['verdict']}",
        markdown=_question(version, verdict),
    )
