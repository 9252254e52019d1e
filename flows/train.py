"""The train flow: what wants a GPU, on the machine whose worker takes it.

The refresh flow sends it there (`train_on`) and waits. Nothing but a commit is handed over: code,
settings and `dvc.lock` come by the Git remote, data by DVC's, and so do the models back. So a GPU
machine needs no disk that others see, and fetches only what its stages read.
"""

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from catalog.errors import UserError
from flows import dvc
from flows.environment import has_server
from flows.exchange import follow
from flows.guard import one_at_a_time
from flows.own_server import end_with_us
from flows.tasks import HOUR, give, pull, push, repro
from flows.workspace import open_workspace

BEFORE = ("assemble",)
"""Up to here the graph runs where the refresh flow does,"""
STAGES = ("transfer", "finetune", "evaluate")
"""and these where the training is sent."""
SPARE_HOURS = 12.0
"""Beside the graph's hours: for data on its way, and for runs that come before in the queue."""


@flow(name="train", validate_parameters=False)
def train(commit: str | None = None, root: str = ".", repro_hours: float = 48.0) -> dict[str, Any]:
    """Train and evaluate what `commit` names (the newest on the branch), and give it back.

    Raises `UserError` with what to do. A run that ended in the middle is taken up by the next one:
    stages that are done are not run again, and training goes on from its last checkpoint.
    """
    end_with_us()
    place = str(Path(root).resolve())
    tree = open_workspace(Path(place))
    with one_at_a_time(tree):
        head = follow(tree, commit)
        get_run_logger().info("training what %s names", head[:12])
        pull(place, dvc.inputs(tree.root, STAGES))
        ran = repro(place, repro_hours * HOUR, STAGES, alone=True)
        push(place)
        tree.commit(f"Trained and evaluated: {', '.join(ran) or 'nothing was left to do'}")
        return {"ran": ran, "commit": give(place)}


def check_deployment(name: str) -> None:
    """Raise `UserError` where there is no Prefect server, or none with the deployment FLOW/NAME."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    if not has_server():
        raise UserError(
            f"Training is to be sent to {name}, but no Prefect server is named.",
            "Set PREFECT_API_URL to the server that the GPU machine's worker asks, or leave "
            "`train_on` out to train here.",
        )
    try:
        with get_client(sync_client=True) as client:
            client.read_deployment_by_name(name)
    except (ObjectNotFound, ValueError):
        raise UserError(
            f"The Prefect server knows no deployment {name!r}.",
            "Name it as FLOW/NAME, such as train/gpu. It is made on the GPU machine, in its work "
            "tree: prefect --no-prompt deploy --all --prefect-file prefect-gpu.yaml.",
        ) from None


@task(name="train elsewhere", cache_policy=NO_CACHE)
def send(deployment: str, commit: str, repro_hours: float) -> None:
    """Run the train flow of `deployment` (FLOW/NAME) at `commit`, and wait for its end.

    Raises `UserError` where it did not end well, with its own words, and where it has not ended in
    `repro_hours` and `SPARE_HOURS`: a machine that went away ends no run of its own.
    """
    from prefect.deployments import run_deployment

    given = {"commit": commit, "repro_hours": repro_hours}
    longest = repro_hours + SPARE_HOURS
    run: Any = run_deployment(deployment, parameters=given, poll_interval=2, timeout=longest * HOUR)
    state = run.state
    if state is not None and not state.is_final():
        raise UserError(
            f"The training that was sent to {deployment} has not ended in {longest:g} hours; it is "
            f"{state.name}.",
            "Look whether its machine is on and whether a worker takes runs there (`prefect worker "
            f"start --pool POOL`). Its run is {run.name}: `prefect flow-run cancel {run.id}`, then "
            "run the same again; what is done is not done twice.",
        )
    if state is None or not state.is_completed():
        said = "no state" if state is None else f"{state.name}: {state.message or 'no message'}"
        raise UserError(
            f"The training that was sent to {deployment} ended as {said}",
            f"Its run is {run.name}: `prefect flow-run logs {run.id}`. Mend that and run the same "
            "again; what is done is not done twice.",
        )
    get_run_logger().info("%s has trained, run %s", deployment, run.name)
