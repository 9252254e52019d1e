"""What the image APIs cost, entered before it is spent."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from catalog.errors import UserError
from catalog.files import disk_errors


class Ledger:
    """What was spent, one JSON line a request, durable before the request is sent.

    Teachers of one stage, threads and processes share the file, and so the cap.
    """

    def __init__(self, path: Path, cap: float | None) -> None:
        self.path, self.cap = path, cap

    @property
    def spent(self) -> float:
        """The sum of all requests entered."""
        return _sum(self.path.read_text("utf-8")) if self.path.exists() else 0.0

    def spend(self, cost: float, key: str) -> None:
        """Enter one request. Raises `UserError` when it would exceed the cap, or on a full disk."""
        with self._open() as (file, text):
            spent = _sum(text)
            if self.cap is not None and spent + cost > self.cap + 1e-9:
                raise UserError(
                    f"The image APIs have cost {spent:.2f}, and another request would exceed "
                    f"the cap of {self.cap:.2f}.",
                    "Raise teach.api.max_cost and run the same command again; what was made is "
                    "kept and not asked again.",
                )
            _append(file, text, {"cost": cost, "key": key})

    def give_back(self, cost: float, key: str, why: str) -> None:
        """Enter that of a request `cost` was not charged after all.

        A kill before this leaves it counted: more is never spent than was entered.
        """
        if cost:
            with self._open() as (file, text):
                _append(file, text, {"cost": -cost, "key": key, "why": why})

    @contextmanager
    def _open(self) -> Iterator[tuple[TextIO, str]]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with disk_errors(self.path), self.path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # ends with the file
            file.seek(0)
            yield file, file.read()


def _append(file: TextIO, text: str, entry: dict[str, object]) -> None:
    # A line cut short by a crash was not sent. It is ended, or this request's line would become
    # part of it and not be counted.
    before = "" if text.endswith("\n") or not text else "\n"
    file.write(before + json.dumps(entry) + "\n")
    file.flush()
    os.fsync(file.fileno())


def _sum(text: str) -> float:
    return sum(_cost(line) for line in text.splitlines())


def _cost(line: str) -> float:
    try:
        return float(json.loads(line)["cost"])
    except (ValueError, KeyError, TypeError):
        return 0.0
