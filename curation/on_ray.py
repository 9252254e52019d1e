"""Tasks on a Ray cluster: the one that RAY_ADDRESS names, else one of this machine's cores."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from catalog.errors import UserError

_RETRIES = 5
"""Deaths of a worker (out of memory, a machine that is gone) that one task survives."""


def _load() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "The setting executor is ray, but Ray is not installed.",
            "Run `pip install 'mendline[ray]'`, or set executor: local.",
        ) from error
    return ray


def _join(ray: Any) -> None:
    try:
        # Ray reports its use to its makers unless it is told not to.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(log_to_driver=False, include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        address = os.environ.get("RAY_ADDRESS")
        raise UserError(
            f"Ray cannot be {f'reached at {address}' if address else 'started here'}: {error}.",
            "See that `ray status` answers there, correct RAY_ADDRESS, or set executor: local.",
        ) from error


def run_on_ray(tasks: Sequence[partial[Path]]) -> Iterator[Path]:
    """Run `tasks` on the cluster and yield their results as they come.

    A task whose worker dies is run again, on another one; one that raises ends the whole with its
    own error. A cluster that this call has joined is left at the end.
    """
    ray = _load()
    joined = not ray.is_initialized()
    if joined:
        _join(ray)
    try:

        @ray.remote(max_retries=_RETRIES)
        def run(task: partial[Path]) -> str:
            return str(task())

        waiting = [run.remote(task) for task in tasks]
        while waiting:
            done, waiting = ray.wait(waiting)
            yield from (Path(name) for name in ray.get(done))
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, UserError) else error from error
    except ray.exceptions.RayError as error:
        raise UserError(
            f"Ray gave a task up: {error}.",
            "See the cluster's logs (`ray logs`); finished shards are kept, and the same command "
            "goes on with the others.",
        ) from error
    finally:
        if joined:
            ray.shutdown()
