"""The refresh flow: collect, run the graph, push, commit, log, register a candidate.

Every task may be run again at any time: collection continues where it stopped, DVC knows what is
done, and a version is keyed by the hash of its weights, data and scores. So a killed run is mended
by the next one, and nothing is cached by Prefect.
"""

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import load_params
from flows import counts, dvc
from flows.guard import one_at_a_time
from flows.listening import tell
from flows.own_server import end_with_us
from flows.workspace import open_workspace

_HOUR = 3600.0


def _on_line(step: str) -> Any:
    log = get_run_logger()

    def hear(line: str) -> None:
        if line.strip():
            log.info("%s", line)
        tell(step, line)

    return hear


@task(name="collect", cache_policy=NO_CACHE)
def collect(root: str, urls: str | None, folder: str | None) -> dict[str, int]:
    """Fetch what is new; return the outcomes of this run.

    Collection retries by URL and by host itself; bad input would fail again.
    """
    from flows.collecting import fetch

    tell("collect")
    layout = Layout(Path(root))
    found = fetch(layout, load_params(layout.params), urls, folder)
    get_run_logger().info("outcomes: %s", found)
    return found


@task(name="dvc add data/raw", cache_policy=NO_CACHE)
def add(root: str) -> None:
    """Track the snapshots."""
    tell("add")
    dvc.add(Path(root), "data/raw", _on_line("add"))


@task(name="dvc repro", cache_policy=NO_CACHE)
def repro(root: str, timeout: float) -> list[str]:
    """Run what the new snapshot, code or settings affect; return the stages that ran."""
    from flows.registry_models import fetch_teachers

    tell("repro")
    layout = Layout(Path(root))
    fetch_teachers(layout, load_params(layout.params))
    done = dvc.repro(Path(root), on_line=_on_line("repro"), timeout=timeout)
    get_run_logger().info("ran: %s", ", ".join(done.ran) or "nothing, all was done")
    return done.ran


@task(name="dvc push", cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[5, 30, 120])
def push(root: str) -> None:
    """Bring the data to the remote, where transport can fail."""
    tell("push")
    dvc.push(Path(root), _on_line("push"))


@task(name="git commit", cache_policy=NO_CACHE)
def commit(root: str) -> str:
    """Commit what names the data: dvc.lock, the counts, the tracked inputs. Return the commit."""
    tell("commit")
    tree = open_workspace(Path(root))
    made = tree.commit("Refresh: " + _headline(tree.layout))
    return made or tree.head()


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
) -> dict[str, Any]:
    """One turn of the lifecycle, up to a gated candidate.

    `urls` is a list of URLs (a path below `root`), `folder` a folder of photos; with neither, the
    graph runs on the snapshots that are there. Raises `UserError` with what to do.
    """
    end_with_us()
    place = str(Path(root).resolve())
    tree = open_workspace(Path(place))
    load_params(tree.layout.params)
    with one_at_a_time(tree):
        outcomes = collect(place, urls, folder) if urls or folder else {}
        if not any(tree.layout.raw.glob("*")):
            raise UserError(
                f"There are no images in {tree.layout.raw}.",
                "Give the flow `urls` or `folder`, or run `mendline collect` first.",
            )
        add(place)
        ran = repro(place, repro_hours * _HOUR)
        push(place)
        head = commit(place)
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


def _headline(layout: Layout) -> str:
    rows = {row.stage: row for row in counts.by_stage(layout)}
    return f"{rows['collect'].rows_out} images, {counts.dataset_size(layout)} pairs"


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
