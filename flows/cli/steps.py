"""Progress of a flow on the terminal: the step that runs, and how long each took."""

import re
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape

_TITLES = {
    "start": "starting Prefect's own server",
    "collect": "collecting",
    "add": "versioning the snapshot (dvc add)",
    "repro": "running the graph (dvc repro)",
    "push": "storing the data (dvc push)",
    "commit": "committing",
    "register": "registering the model in MLflow",
    "gate": "judging it at the gate",
}
_RUNNING = re.compile(r"Running stage '([^']+)'")
_REUSED = re.compile(r"Stage '([^']+)' (didn't change|is cached)")
_PROGRESS = re.compile(r"\bprogress\b.*?\b(?P<rest>\w+=.*)$")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Steps:
    """Prints a line when a step begins and its seconds when it ends; a spinner on a terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._status = self._console.status("") if sys.stderr.isatty() else None
        self._step: str | None = None
        self._since = 0.0
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(failed=kind is not None)
        if self._status:
            self._status.stop()

    def hear(self, step: str, line: str) -> None:
        """A listener for `flows.listening`."""
        if not line:
            if step != "repro":
                self._begin(_TITLES.get(step, step))
            return
        if found := _RUNNING.search(line):
            self._begin(found[1])
        elif found := _REUSED.search(line):
            self._end()
            self._console.print(f"  [dim]-[/] {found[1]:<12} [dim]done before[/]")
        elif self._status and self._step and (found := _PROGRESS.search(_COLOURS.sub("", line))):
            self._status.update(f"{self._step}  [dim]{escape(found['rest'])}[/]")

    def _begin(self, title: str) -> None:
        self._end()
        self._step, self._since = title, time.monotonic()
        if self._status:
            self._status.update(title)
            # Collection draws a bar of its own on the terminal.
            (self._status.stop if title == _TITLES["collect"] else self._status.start)()

    def _end(self, failed: bool = False) -> None:
        if self._step is None:
            return
        took = time.monotonic() - self._since
        self.seconds[self._step] = took
        mark = "[red]x[/]" if failed else "[green]+[/]"
        self._console.print(f"  {mark} {self._step:<34} [dim]{took:6.1f} s[/]")
        self._step = None
