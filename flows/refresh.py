"""The refresh flow: collect, run the graph, push, commit, log, register a candidate.

Every task may be run again at any time: collection continues where it stopped, DVC knows what is
done, and a version is keyed by the hash of its weights, data and scores. So a killed run is mended
by the next one, and nothing is cached by Prefect.
"""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import load_params
from flows import counts
from flows.exchange import agree, follow
from flows.guard import one_at_a_time
from flows.listening import tell
from flows.own_server import end_with_us
from flows.tasks import HOUR, add, collect, commit, give, pull, push, repro
from flows.train import BEFORE, STAGES, check_deployment, send
from flows.workspace import open_workspace


@task(name="register", cache_policy=NO_CACHE, retries=2, retry_delay_seconds=[5, 30])
def register(root: str) -> dict[str, str]:
    """Log the run to MLflow and register the model as @candidate with its evaluation."""
    from evaluation.registry.register import register_candidate

    tell("register")
    layout = Layout(Path(root))
    made = register_candidate(layout, load_params(layout.params))
    return {"version": made.version, "run_id": made.run_id, "created": str(made.created)}


@task(name="gate", cache_policy=NO_CACHE)
def gate(root: str, version: str) -> dict[str, Any]:
    """Judge the version, write its report, and tag it with both."""
    from flows.gating import run_gate

    tell("gate")
    layout = Layout(Path(root))
    return run_gate(layout, load_params(layout.params), version)


@flow(name="refresh", validate_parameters=False)
def refresh(
    root: str = ".",
    urls: str | None = None,
    folder: str | None = None,
    repro_hours: float = 48.0,
    train_on: str | None = None,
) -> dict[str, Any]:
    """One turn of the lifecycle, up to a gated candidate.

    `urls` is a list of URLs (a path below `root`), `folder` a folder of photos; with neither, the
    graph runs on the snapshots that are there. `train_on` names a deployment of the train flow
    ("train/gpu"): training and evaluation are sent to its machine. Raises `UserError` with what to
    do.
    """
    end_with_us()
    place = str(Path(root).resolve())
    tree = open_workspace(Path(place))
    load_params(tree.layout.params)
    if train_on:
        # Not after hours of collecting.
        check_deployment(train_on)
        agree(tree)
    with one_at_a_time(tree):
        outcomes = collect(place, urls, folder) if urls or folder else {}
        if not any(tree.layout.raw.glob("*")):
            raise UserError(
                f"There are no images in {tree.layout.raw}.",
                "Give the flow `urls` or `folder`, or run `mendline collect` first.",
            )
        add(place)
        ran = repro(place, repro_hours * HOUR, BEFORE if train_on else ())
        push(place)
        head = commit(place)
        if train_on:
            give(place)
            tell("train")
            send(train_on, head, repro_hours)
            head = follow(tree, head)
            pull(place, STAGES)
        version = register(place)
        verdict = gate(place, version["version"])
        _show(tree.layout, head, version, verdict)
    return {
        "outcomes": outcomes,
        "ran": ran,
        "commit": head,
        **version,
        "verdict": verdict["verdict"],
        "report": verdict["report"],
        "reasons": verdict["reasons"],
    }


def _show(layout: Layout, head: str, version: dict[str, str], verdict: dict[str, Any]) -> None:
    rows = counts.by_stage(layout)
    reasons = "\n".join(f"- {reason}" for reason in verdict["reasons"])
    report = Path(verdict["report"])
    create_markdown_artifact(
        key="refresh",
        description=f"Version {version['version']}: {verdict['verdict']}",
        markdown=(
            f"# Candidate version {version['version']}: {verdict['verdict']}\n\n{reasons}\n\n"
            f"Report: [{report.name}]({report.as_uri()})  \n"
            f"MLflow run `{version['run_id']}`, commit `{head[:12]}`, "
            f"{counts.dataset_size(layout)} pairs.\n\n"
            f"`mendline review` shows what waits, `mendline approve {version['version']} "
            f"--by NAME` decides.\n\n{counts.as_markdown(rows)}\n"
        ),
    )
    create_table_artifact(
        key="refresh-counts",
        description="Rows in and out of every stage, and why rows were dropped",
        table=[
            {"stage": row.stage, "in": row.rows_in, "out": row.rows_out, "dropped": row.why}
            for row in rows
        ],
    )
