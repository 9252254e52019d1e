"""What every stage has around its function: its settings, its counts, its exit."""

import fcntl
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalog.errors import UserError, said_plainly
from catalog.files import write_json
from catalog.layout import Layout
from catalog.settings import Params, load_params


@dataclass
class Counts:
    """Rows in, rows out, and rows dropped by reason; `extra` holds further plain numbers.

    It must not hold times, dates or run ids: it is an output of the stage, and the same input
    must give the same bytes.
    """

    rows_in: int = 0
    rows_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    extra: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The content of the stage's metrics file."""
        return {
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "dropped": dict(sorted(self.dropped.items())),
            **self.extra,
        }


@contextmanager
def alone(layout: Layout, name: str) -> Iterator[None]:
    """The stage `name` of a work tree for one process; torchrun's are one by their first.

    Raises `UserError` where another has it: both would write the same checkpoints and shards.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    place = layout.scratch(name).with_suffix(".lock")
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("a") as file:
        try:
            # A record lock: it ends with this process, whatever children it leaves.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise UserError(
                f"Another process runs the stage {name} in {layout.root}.",
                "Wait for it or end it, then run the same command again.",
            ) from None
        yield


def run_stage(name: str, run: Callable[[Layout, Params], Counts]) -> None:
    """The `main` of a stage: read params.yaml of the current folder, run, write the counts.

    Exits with status 1 and a message for a `UserError` and for what the system refuses of a place,
    so that `dvc repro` stops there; with 130 (128 + SIGINT, as shells have it) for Ctrl-C.
    """
    layout = Layout(Path.cwd())
    try:
        with said_plainly(name):
            params = load_params(layout.params)
            with alone(layout, name):
                counts = run(layout, params)
                write_json(layout.metrics(name), counts.as_json())
    except KeyboardInterrupt:
        print(f"{name}: Interrupted. Run it again: what it has so far is kept.", file=sys.stderr)
        sys.exit(130)
