"""Six processes that promote at once, again and again, and what must hold after each time."""

import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import parse_params
from evaluation.registry import decisions
from evaluation.registry.records import records
from evaluation.registry.store import Registry, connect
from tests.evaluation.registering import bare_version, gated

PROMOTERS = 6
VERSIONS = [str(number + 1) for number in range(PROMOTERS + 1)]
"""One more than promoters: each time all but the champion are approved at once."""


def challengers(champion: str | None) -> list[str]:
    """The six versions of a trial."""
    return [version for version in VERSIONS if version != champion][:PROMOTERS]


def promoter(root: Path, uri: str, params: str, number: int, trials: int, barrier: Any) -> None:
    """Approve the `number`-th challenger of each trial; only losing to another is allowed."""
    # The fork server has the environment of the test that started it, which may be another.
    os.environ["MLFLOW_TRACKING_URI"] = uri
    layout, settings = Layout(root), parse_params(params, "params.yaml")
    registry = connect(layout, settings.gate.model_name)
    for _ in range(trials):
        barrier.wait()  # all versions have seen the champion
        mine = challengers(registry.champion())[number]
        barrier.wait()  # all have chosen
        try:
            decisions.approve(layout, settings, mine, f"promoter {number}")
        except UserError as error:
            assert "compared version" in error.what, error
        barrier.wait()  # all are done


def race(registry: Registry, roots: Sequence[Path], params: str, trials: int) -> None:
    """Run `trials` races; `roots` are the promoters' work trees, one for all or one each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([decisions.__name__])  # imports MLflow once, not six times
    barrier = context.Barrier(PROMOTERS + 1)
    for _ in VERSIONS:
        bare_version(registry)
    workers = [
        context.Process(
            target=promoter,
            args=(roots[number % len(roots)], registry.uri, params, number, trials, barrier),
        )
        for number in range(PROMOTERS)
    ]
    for worker in workers:
        worker.start()
    champion, winners = "none", []
    try:
        for trial in range(trials):
            group = challengers(champion)
            for version in group:
                gated(registry, version, champion)
            for _ in range(3):
                barrier.wait(120)
            found = records(registry)
            assert len(found) == trial + 1, "exactly one of six may win"
            assert [record.kind for record in found] == ["approve"] * (trial + 1)
            assert found[-1].champion_before == champion
            aliases = registry.aliases()
            assert aliases["champion"] == found[-1].champion_after
            assert aliases["champion"] in group
            assert aliases.get("previous", "none") == champion
            champion = aliases["champion"]
            winners.append(found[-1].by)
    finally:
        for worker in workers:
            worker.join(30)
            if worker.is_alive():
                worker.kill()
    assert [worker.exitcode for worker in workers] == [0] * PROMOTERS
    print(f"{trials} races; won by", {name: winners.count(name) for name in sorted(set(winners))})
