"""The rows of the logs as files while a run goes on, for whoever follows it.

The stage's own output has the same rows in the end; stages know no tracking server, so the process
that started them reads these files (flows.live_metrics).
"""

import json
from pathlib import Path
from typing import Any, TextIO

from catalog.files import atomic_file, disk_errors

STEPS, VALIDATIONS, THROUGHPUT = "training.jsonl", "validation.jsonl", "throughput.jsonl"


class LiveLog:
    """A file of JSON rows: begins with the rows a resumed run already has, grows by one a call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def begin(self, rows: list[dict[str, Any]]) -> None:
        """Start the file anew with `rows`; steps after the checkpoint that is gone on from go."""
        self.close()
        with atomic_file(self.path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        self._file = self.path.open("a", encoding="utf-8")

    def add(self, row: dict[str, Any]) -> None:
        """Append a whole line, at once visible to readers. Nothing before `begin`."""
        if self._file is not None:
            with disk_errors(self.path):
                self._file.write(json.dumps(row) + "\n")
                self._file.flush()

    def close(self) -> None:
        """End; may be called twice."""
        if self._file is not None:
            self._file.close()
            self._file = None
