"""A training stage's rows to an MLflow run while the stage works, in batches.

Stages write JSON lines into their scratch folder and know no server; this thread reads what was
added and sends it. A run that is followed again (the stage was killed and goes on) gets only the
steps that it does not have yet.
"""

import json
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from catalog.log import logger
from training.live import STEPS, THROUGHPUT, VALIDATIONS

MARKS = {STEPS: "loss", VALIDATIONS: "loss", THROUGHPUT: "step_s"}
"""The files, and what every row of each has."""

BATCH = 900
"""MLflow takes at most 1,000 metrics in one call."""


class LiveMetrics:
    """While entered, sends the rows of `folder`'s log files to run `run_id`, names after `stage`.

    A server that cannot be reached ends nothing: rows wait, and a warning says so once.
    """

    def __init__(
        self, client: Any, run_id: str, stage: str, folder: Path, seconds: float = 5.0
    ) -> None:
        self.client, self.run_id, self.stage, self.folder = client, run_id, stage, folder
        self.seconds = seconds
        self._sent: dict[str, int] = {}
        self._waiting: list[Any] = []
        self._warned = False
        self._since = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="live metrics", daemon=True)

    def __enter__(self) -> "LiveMetrics":
        for name in MARKS:
            self._sent[name] = self._last_step(name)
        self._since = time.time_ns()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.send()

    def _title(self, name: str, key: str) -> str:
        """As in the registry's curves; validation and throughput have a part of their own."""
        part = "" if name == STEPS else f"{name.removesuffix('.jsonl')}/"
        return f"{self.stage}/{part}{key}"

    def _last_step(self, name: str) -> int:
        """The last step that the run has of a file, -1 for none."""
        history = self.client.get_metric_history(self.run_id, self._title(name, MARKS[name]))
        return max((metric.step for metric in history), default=-1)

    def _follow(self) -> None:
        while not self._stop.wait(self.seconds):
            self.send()

    def send(self) -> None:
        """Send what is new. Errors of the server are kept for the next try."""
        for name in MARKS:
            self._waiting += self._new(name)
        try:
            while self._waiting:
                self.client.log_batch(self.run_id, metrics=self._waiting[:BATCH])
                del self._waiting[:BATCH]
        except Exception as error:  # MLflow raises several kinds; none may end a training
            if not self._warned:
                from evaluation.registry.store import without_passwords

                said = without_passwords(str(error))[:300]
                logger(__name__).warning("metrics wait for the server", error=said)
            self._warned = True

    def _new(self, name: str) -> Iterator[Any]:
        from mlflow.entities import Metric

        path = self.folder / name
        # A file from before is of another run, until the stage starts it anew.
        if not path.is_file() or path.stat().st_mtime_ns < self._since:
            return
        now = int(time.time() * 1000)
        for line in path.read_text("utf-8").splitlines():
            try:
                row = json.loads(line)
                step = int(row["step"])
            except (ValueError, KeyError):
                continue  # a line that is being written
            if step <= self._sent[name]:
                continue
            self._sent[name] = step
            for key, value in row.items():
                number = isinstance(value, int | float) and not isinstance(value, bool)
                if key != "step" and number and math.isfinite(value):
                    yield Metric(self._title(name, key), float(value), now, step)
