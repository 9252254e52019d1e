"""Answers of a command that has not ended, so that the same command after a kill goes on.

They lie beside the output in `.NAME.unfinished`, a line of JSON each, and go when the output is
whole. A key holds all that an answer depends on: bytes of the image, settings, who judges. So what
was kept under other settings, or of a file that changed since, is not found.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from catalog.errors import UserError
from catalog.files import disk_errors


def key(*depends: str) -> str:
    """SHA-256 over what an answer depends on."""
    return hashlib.sha256("\n".join(depends).encode()).hexdigest()


class Kept:
    """Where answers are kept; as it is, nowhere: a command without an output leaves no file."""

    def __contains__(self, asked: str) -> bool:
        return False

    def get(self, asked: str) -> Any:
        """None."""

    def put(self, answers: Mapping[str, Any]) -> None:
        """Keep nothing."""


class Unfinished(Kept):
    """Answers by key in a file that only grows. One process at a time; the kernel frees its lock.

    A line is on the disk when `put` returns. A line cut short by a kill or a full disk is cut off,
    and all that were written before it stand.
    """

    def __init__(self, path: Path) -> None:
        """Raises `UserError` where another process has the file, or it cannot be made."""
        self.path = path
        self._places: dict[bytes, tuple[int, int]] = {}
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _locked(path)
            self._end = self._read()
            os.ftruncate(self._file, self._end)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, asked: str) -> bool:
        return bytes.fromhex(asked) in self._places

    def get(self, asked: str) -> Any:
        """The answer, None where there is none."""
        place = self._places.get(bytes.fromhex(asked))
        return None if place is None else json.loads(os.pread(self._file, place[1], place[0]))[1]

    def put(self, answers: Mapping[str, Any]) -> None:
        """Keep answers, of JSON and NumPy's numbers. Raises `UserError` on a full disk."""
        if not answers:
            return
        lines = [
            (one, json.dumps([one, answer], default=_plain).encode() + b"\n")
            for one, answer in answers.items()
        ]
        with disk_errors(self.path):
            try:
                data, at = b"".join(line for _, line in lines), self._end
                while data:
                    written = os.pwrite(self._file, data, at)
                    data, at = data[written:], at + written
                os.fsync(self._file)
            except BaseException:
                os.ftruncate(self._file, self._end)
                raise
        for one, line in lines:
            self._enter(one, len(line))

    def close(self, done: bool = False) -> None:
        """Leave the file for the next run, or remove it where all is `done` or it is empty."""
        if done or not self._places:
            self.path.unlink(missing_ok=True)
        os.close(self._file)

    def _enter(self, one: str, length: int) -> None:
        self._places[bytes.fromhex(one)] = (self._end, length)
        self._end += length

    def _read(self) -> int:
        """Find the whole lines; return where they end."""
        self._end = 0
        with open(self._file, "rb", closefd=False) as file:
            for line in file:
                try:
                    one, _ = json.loads(line)
                    if not line.endswith(b"\n"):
                        break
                    self._enter(one, len(line))
                except (ValueError, TypeError):
                    break
        return self._end


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, to the last bit."""
    return value.item()


def _locked(path: Path) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise UserError(
                f"Another run is at work on {path}.", "Wait for it, or name another output."
            ) from None
        # Whoever had the lock until now may have ended and removed the file.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        os.close(file)


@contextmanager
def interruptible(then: str) -> Iterator[None]:
    """Ctrl-C is said in words, with `then`, and status 130 (128 + SIGINT, as shells have it)."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted; {then}.", err=True)
        raise SystemExit(130) from None


@contextmanager
def unfinished(out: Path | None) -> Iterator[Kept]:
    """What an earlier run for the output `out` left, and what this one adds.

    Removed where the block ends well, which must therefore have written `out`. An interruption is
    said as by `interruptible`.
    """
    kept = Kept() if out is None else Unfinished(out.with_name(f".{out.name}.unfinished"))
    done = False
    try:
        if isinstance(kept, Unfinished) and len(kept):
            click.echo(f"Going on: {len(kept)} answers of an earlier run are there.", err=True)
        with interruptible("the same command goes on where it was" if out else "nothing was kept"):
            yield kept
        done = True
    finally:
        if isinstance(kept, Unfinished):
            kept.close(done)
