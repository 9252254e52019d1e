"""What the stages before training left out, why, and examples to look at."""

import base64
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from catalog import schemas
from catalog.errors import ImageRefused
from catalog.layout import Layout
from catalog.shards import ShardStore
from catalog.tables import read_table
from evaluation.benchmark import limit

EXAMPLES = 6
MAX_EXAMPLE_BYTES = 3_000_000
"""Of all examples in base64; later causes are then told in numbers alone."""
_SIDE = 180


@dataclass(frozen=True)
class Example:
    """A picture of something dropped, beside what it was held against (a keeper, a target)."""

    picture: str
    alt: str
    other: str | None = None
    other_alt: str = ""


@dataclass
class Cause:
    """One reason of one stage."""

    stage: str
    reason: str
    count: int
    examples: list[Example] = field(default_factory=list)


def dropped(layout: Layout) -> list[Cause]:
    """Causes in the order of the stages; empty where the tables are not there."""
    causes = [*_collected(layout)]
    store = ShardStore(layout.raw, layout.targets) if layout.raw.is_dir() else ShardStore()
    for stage, path, schema, reason_of, other in (
        ("deduplicate", layout.duplicates, schemas.DUPLICATES, _copy, "group"),
        ("decontaminate", layout.contamination, schemas.CONTAMINATION, _contaminated, None),
        ("screen", layout.screening, schemas.SCREENING, _screened, None),
        ("teach", layout.targets / "targets.parquet", schemas.TARGETS, _taught, None),
        ("pair", layout.real_pairs, schemas.PAIRS, _paired, "clean_id"),
    ):
        if path.exists():
            rows = read_table(path, schema).to_pylist()
            causes += _causes(stage, rows, reason_of, other, store)
    return _within(causes, MAX_EXAMPLE_BYTES)


def _within(causes: list[Cause], limit_bytes: int) -> list[Cause]:
    """Leave out the last examples of each cause, round by round, until all fit."""
    spent, kept = 0, {id(cause): 0 for cause in causes}
    for place in range(EXAMPLES):
        for cause in causes:
            if place >= len(cause.examples) or kept[id(cause)] < place:
                continue
            example = cause.examples[place]
            size = len(example.picture) + len(example.other or "")
            if spent + size <= limit_bytes:
                spent += size
                kept[id(cause)] = place + 1
    for cause in causes:
        del cause.examples[kept[id(cause)] :]
    return causes


def _collected(layout: Layout) -> Iterable[Cause]:
    counts: Counter[str] = Counter()
    for table in layout.outcomes:
        counts.update(
            read_table(table, schemas.OUTCOMES, ["outcome"]).column("outcome").to_pylist()
        )
    for outcome, count in counts.most_common():
        if outcome != "stored":
            yield Cause("collect", outcome, count)


def _copy(row: Mapping[str, Any]) -> str | None:
    return f"{row['reason']} copy" if row["relation"] == "copy" else None


def _contaminated(row: Mapping[str, Any]) -> str | None:
    return f"matches the benchmark ({row['reason']})"


def _screened(row: Mapping[str, Any]) -> str | None:
    return str(row["reason"]) if row["verdict"] == "drop" else None


def _taught(row: Mapping[str, Any]) -> str | None:
    return str(row["outcome"]) if row["outcome"] != "made" else None


def _paired(row: Mapping[str, Any]) -> str | None:
    return str(row["reason"]) if row["verdict"] == "drop" else None


def _causes(
    stage: str, rows: list[dict[str, Any]], reason_of: Any, other: str | None, store: ShardStore
) -> Iterable[Cause]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        reason = reason_of(row)
        if reason is not None:
            found[reason].append(row)
    for reason, mine in sorted(found.items(), key=lambda item: (-len(item[1]), item[0])):
        cause = Cause(stage, reason, len(mine))
        for row in sorted(mine, key=_id):
            if len(cause.examples) == EXAMPLES:
                break
            example = _example(row, other, store, f"{stage}: {reason}")
            if example is not None:
                cause.examples.append(example)
        yield cause


def _id(row: Mapping[str, Any]) -> str:
    return str(row.get("image_id") or row.get("degraded_id"))


def _example(
    row: Mapping[str, Any], other: str | None, store: ShardStore, alt: str
) -> Example | None:
    picture = _thumbnail(store, _id(row))
    if picture is None:
        return None
    second = _thumbnail(store, str(row[other])) if other and row.get(other) else None
    beside = "the image that is kept" if other == "group" else "the clean target"
    return Example(picture, f"Image left out, {alt}", second, beside if second else "")


def _thumbnail(store: ShardStore, key: str) -> str | None:
    if key not in store:
        return None
    try:
        image = limit(store.get(key).decode(), _SIDE)
    except ImageRefused:
        return None
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=78, optimize=True)
    return data_uri(buffer.getvalue())


def data_uri(jpeg: bytes) -> str:
    """A JPEG inside the page."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def picture_uri(path: Path) -> str | None:
    """The JPEG at `path` inside the page; None where there is none."""
    return data_uri(path.read_bytes()) if path.exists() else None
