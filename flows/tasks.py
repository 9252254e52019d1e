"""The steps of the flows as Prefect tasks; each may be run again at any time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from catalog.layout import Layout
from catalog.settings import load_params
from flows import counts, dvc
from flows.exchange import publish
from flows.listening import tell
from flows.workspace import open_workspace

HOUR = 3600.0


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
def repro(root: str, timeout: float, targets: Sequence[str] = (), alone: bool = False) -> list[str]:
    """Run what the new snapshot, code or settings affect; return the stages that ran.

    `targets` are the last stages that are asked for, all when none; with `alone` no stage before
    them is looked at.
    """
    from flows.registry_models import fetch_teachers

    tell("repro")
    layout = Layout(Path(root))
    if not alone:
        fetch_teachers(layout, load_params(layout.params))
    hear = _on_line("repro")
    done = dvc.repro(Path(root), targets, on_line=hear, timeout=timeout, alone=alone)
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


@task(name="git push", cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[5, 30, 120])
def give(root: str) -> str:
    """Push the branch; return its commit. A commit that stays behind would part the two trees."""
    tell("push")
    return publish(open_workspace(Path(root)))


@task(name="dvc pull", cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[5, 30, 120])
def pull(root: str, targets: Sequence[str]) -> None:
    """Bring the outputs of stages, or paths, from the remote."""
    tell("pull")
    dvc.pull(Path(root), targets, _on_line("pull"))


def _headline(layout: Layout) -> str:
    rows = {row.stage: row for row in counts.by_stage(layout)}
    return f"{rows['collect'].rows_out} images, {counts.dataset_size(layout)} pairs"
