"""A snapshot from its first URL to its place below data/raw.

data/collecting/NAME/ holds the journal (state/) and the snapshot that grows (snapshot/: shards/);
when everything has its outcome, outcomes.parquet and snapshot.json are added and snapshot/ is
renamed to data/raw/NAME, which is therefore whole or absent. What is below data/raw never changes.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalog import schemas
from catalog.files import atomic_file, disk_errors, write_json
from catalog.layout import Layout
from catalog.settings.collect import Collect
from curation.collect.history import OUTCOMES_FILE, RECORD_FILE, snapshots
from curation.collect.state import State

_DECIDE_WHAT_IS_KEPT = {
    "formats", "max_pixels", "max_bytes", "min_side", "max_aspect", "min_channels",
    "keep_animated", "opt_outs", "obey_robots", "allow_addresses", "max_redirects",
}  # fmt: skip


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def keeps(settings: Collect) -> str:
    """A hash over the settings that decide which images are kept."""
    return _digest(settings.model_dump(mode="json", include=_DECIDE_WHAT_IS_KEPT))


@dataclass(frozen=True)
class Work:
    """An unfinished snapshot's folders."""

    name: str
    folder: Path

    @property
    def state(self) -> Path:
        """The journal."""
        return self.folder / "state"

    @property
    def snapshot(self) -> Path:
        """What becomes data/raw/NAME."""
        return self.folder / "snapshot"

    @property
    def outcomes(self) -> Path:
        """The outcome table (schemas.OUTCOMES)."""
        return self.snapshot / OUTCOMES_FILE


def find_work(layout: Layout, described: Sequence[Any], settings: Collect, mode: str) -> Work:
    """The unfinished snapshot of the same sources, filters and mode, or a new one's place."""
    key = _digest([list(described), keeps(settings), mode])[:8]
    for folder in sorted(layout.collecting.glob(f"*-{key}")):
        if (layout.raw / folder.name).exists():  # killed between the rename and the clearing up
            shutil.rmtree(folder)
        else:
            return Work(folder.name, folder)
    name = f"{_moment(layout):%Y%m%d-%H%M%S-%f}-{key}"
    return Work(name, layout.collecting / name)


def _moment(layout: Layout) -> datetime:
    """Now, or just after the newest snapshot where a clock was set back meanwhile.

    Snapshots are read in the order of their names, and the later outcome of a URL counts.
    """
    now = datetime.now(UTC)
    for folder in (*snapshots(layout.raw), *layout.collecting.glob("*-*-*-*/")):
        try:
            then = datetime.strptime(folder.name.rpartition("-")[0], "%Y%m%d-%H%M%S-%f")
            now = max(now, then.replace(tzinfo=UTC) + timedelta(microseconds=1))
        except (ValueError, OverflowError):  # a folder of another name
            continue
    return now


def write_outcomes(state: State, path: Path) -> None:
    """Export the journal as a table of `schemas.OUTCOMES`."""
    with (
        atomic_file(path) as temporary,
        pq.ParquetWriter(temporary, schemas.OUTCOMES, compression="zstd") as writer,
    ):
        for rows in state.outcomes():
            writer.write_table(pa.Table.from_pylist(rows, schema=schemas.OUTCOMES))


def publish(work: Work, layout: Layout, record: dict[str, Any]) -> Path:
    """Write snapshot.json and move the whole snapshot to data/raw; return its folder."""
    write_json(work.snapshot / RECORD_FILE, record)
    target = layout.raw / work.name
    with disk_errors(target):
        layout.raw.mkdir(parents=True, exist_ok=True)
        os.replace(work.snapshot, target)
        shutil.rmtree(work.folder)
    return target
