"""One run at a time in a work tree."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from flows import dvc
from flows.environment import has_server
from flows.workspace import Workspace

_LEASE_SECONDS = 120.0


def limit_name(tree: Workspace) -> str:
    """The name of the work tree's concurrency limit on a Prefect server.

    By a number that the tree keeps, not by its path: trees of two machines often have the same, and
    a refresh flow that waits for the other machine must not hold that one's limit.
    """
    place = tree.state / "id"
    if not place.exists():
        tree.state.mkdir(exist_ok=True)
        mine = place.with_name(f"id-{uuid.uuid4().hex[:12]}")
        mine.write_text(mine.name.removeprefix("id-"), "utf-8")
        try:
            os.link(mine, place)  # the first of several that come at once is kept
        except FileExistsError:
            pass
        finally:
            mine.unlink()
    return f"mendline-{place.read_text('utf-8')}"


@contextmanager
def one_at_a_time(tree: Workspace, wait: float = 10.0) -> Iterator[None]:
    """Hold the work tree against other processes here and, by the server, other workers.

    The limit is made first and asked for strictly: Prefect ignores one that does not exist. With
    no server there are no other workers, and a lease of a killed run would have nobody to end it.
    """
    if not has_server():
        with dvc.exclusive(tree.root, wait):
            yield
        return
    from prefect.client.orchestration import get_client
    from prefect.concurrency.sync import concurrency

    name = limit_name(tree)
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
    with (
        concurrency(name, occupy=1, strict=True, lease_duration=_LEASE_SECONDS),
        dvc.exclusive(tree.root, wait),
    ):
        yield
