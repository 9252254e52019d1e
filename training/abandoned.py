"""Runs of a stage that were begun with other settings, data or code, and never ended.

The runs of a stage lie side by side in its scratch folder, each in a folder of its key
(`training.stage.run_key`). Whoever trains holds the lock of that stage (`catalog.stage.alone`), so
no other process is at work in any of them.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from catalog.log import logger
from training.checkpoint import DONE, newest, step_of

_KEY = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True)
class Abandoned:
    """An unfinished run beside another one."""

    folder: Path
    step: int
    """Of its newest whole checkpoint; 0 where it has none."""
    size: int
    """Bytes of all its files."""


def beside(run: Path) -> list[Abandoned]:
    """The unfinished runs in the folder that holds the folder `run`, in the order of their keys."""
    found = []
    for folder in sorted(run.parent.glob("*")):
        if folder == run or not _KEY.fullmatch(folder.name) or (folder / DONE).is_file():
            continue
        kept = newest(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        found.append(Abandoned(folder, step_of(kept) if kept else 0, size))
    return found


def warn(run: Path) -> None:
    """Name in the log each unfinished run beside `run`, which begins."""
    for other in beside(run):
        logger(__name__).warning(
            "an unfinished run of other settings, data or code is kept; going back to them goes on "
            "there, until a run of this stage finishes",
            **_described(other),
        )


def remove(run: Path) -> None:
    """Remove the unfinished runs beside `run`, which has finished.

    They can no longer be what somebody wants to go on with: since they were left, the stage was
    trained to its end with other settings, and its output is that of `run`.
    """
    for other in beside(run):
        shutil.rmtree(other.folder, ignore_errors=True)
        logger(__name__).info("removed an unfinished run", **_described(other))


def _described(run: Abandoned) -> dict[str, str | int]:
    return {"folder": str(run.folder), "step": run.step, "size": _in_words(run.size)}


def _in_words(size: int) -> str:
    """Bytes as MiB or GiB."""
    mib = size / 2**20
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.1f} MiB"
