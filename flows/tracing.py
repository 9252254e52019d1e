"""One image from its page to every dataset and model version that saw it."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalog import schemas
from catalog.blocked import blocked_ids
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.pairs import IMAGES, image_ids
from catalog.settings import load_params
from catalog.shards import find_shards
from catalog.tables import read_table

Row = dict[str, Any]
_SHORTEST = 6


@dataclass(frozen=True)
class Trace:
    """What is known of one image, each list in the order of the lifecycle."""

    image_id: str
    fetched: list[Row] = field(default_factory=list)
    """schemas.OUTCOMES, with `snapshot`."""

    stored: list[str] = field(default_factory=list)
    """Shards that hold the bytes, as paths below the work tree."""

    duplicates: list[Row] = field(default_factory=list)
    contamination: list[Row] = field(default_factory=list)
    screening: list[Row] = field(default_factory=list)
    targets: list[Row] = field(default_factory=list)
    pairs: list[Row] = field(default_factory=list)
    """schemas.PAIRS, with `how`: as which side, or "same scene" by its group."""

    dataset: list[Row] = field(default_factory=list)
    held_out: bool = False
    blocked: bool = False
    versions: list[Row] = field(default_factory=list)
    """Model versions that learned from it: version, aliases, dataset, pairs."""


def find_image(layout: Layout, text: str) -> str:
    """The whole image id for an id, the start of one, or a URL. Raises `UserError`."""
    known = _known_ids(layout)
    if text in known:
        return text
    if "://" in text:
        rows = [row for row in _outcomes(layout) if text in (row["url"], row["final_url"])]
        found = {row["image_id"] for row in rows if row["image_id"]}
        if not found and rows:
            last = rows[-1]
            raise UserError(
                f"{text} gave no image: {last['outcome']}. {last['detail'] or ''}".strip(),
                "Nothing of it is stored, so there is nothing to trace.",
            )
    else:
        found = {key for key in known if len(text) >= _SHORTEST and key.startswith(text.lower())}
    if len(found) == 1:
        return found.pop()
    if found:
        raise UserError(
            f"{len(found)} images begin with {text}: {', '.join(sorted(found)[:4])}.",
            "Give more of the id.",
        )
    raise UserError(
        f"No image {text} is known in {layout.root}.",
        "Give an image id (64 hexadecimal digits, or its first 6 and more) or the URL as fetched.",
    )


def trace(layout: Layout, image_id: str) -> Trace:
    """Follow one image through every table there is; stages that have not run say nothing."""
    duplicates = _rows(layout.duplicates, schemas.DUPLICATES, image_id=[image_id])
    targets = _rows(layout.targets / "targets.parquet", schemas.TARGETS, degraded_id=[image_id])
    made = [row["clean_id"] for row in targets if row["clean_id"]]
    groups = [row["group"] for row in duplicates]
    pairs = list(_pairs(layout, image_id, made, groups))
    ids = {row["pair_id"] for row in pairs}
    dataset = [
        row
        for row in _rows(layout.dataset / "pairs.parquet", schemas.DATASET)
        if row["pair_id"] in ids
    ]
    held_out = _rows(layout.dataset / "held-out.parquet", schemas.HELD_OUT, image_id=[image_id])
    return Trace(
        image_id,
        [row for row in _outcomes(layout) if row["image_id"] == image_id],
        _shards(layout, image_id),
        duplicates,
        _rows(layout.contamination, schemas.CONTAMINATION, image_id=[image_id]),
        _rows(layout.screening, schemas.SCREENING, image_id=[image_id]),
        targets,
        pairs,
        dataset,
        bool(held_out),
        _blocked(layout, image_id),
        _versions(layout, {image_id, *made}),
    )


def _blocked(layout: Layout, image_id: str) -> bool:
    """By its id, its URL or its perceptual hash, as the stages block it."""
    if not layout.blocklist.exists():
        return False
    return image_id in blocked_ids(layout, load_params(layout.params).gate.takedown_bits)


def _rows(path: Path, schema: pa.Schema, **wanted: Sequence[str]) -> list[Row]:
    if not path.exists():
        return []
    table = read_table(path, schema)
    for column, values in wanted.items():
        table = table.filter(pc.is_in(table.column(column), pa.array(values, pa.string())))
    return table.to_pylist()


def _outcomes(layout: Layout) -> list[Row]:
    return [
        row | {"snapshot": path.parent.name}
        for path in layout.outcomes
        for row in read_table(path, schemas.OUTCOMES).to_pylist()
    ]


def _shards(layout: Layout, image_id: str) -> list[str]:
    roots = (layout.raw, layout.targets, layout.synthetic)
    return [
        str(shard.relative_to(layout.root))
        for root in roots
        for shard in find_shards(root)
        if image_id in pq.read_table(shard, columns=["image_id"]).column(0).to_pylist()
    ]


def _known_ids(layout: Layout) -> set[str]:
    return {
        key
        for root in (layout.raw, layout.targets, layout.synthetic)
        for shard in find_shards(root)
        for key in pq.read_table(shard, columns=["image_id"]).column(0).to_pylist()
    }


def _pairs(
    layout: Layout, image_id: str, made: Sequence[str], groups: Sequence[str]
) -> Iterator[Row]:
    for path in (layout.real_pairs, layout.synthetic / "pairs.parquet"):
        for row in _rows(path, schemas.PAIRS):
            if row["degraded_id"] == image_id:
                yield row | {"how": "degraded side"}
            elif row["clean_id"] == image_id:
                yield row | {"how": "clean side"}
            elif row["clean_id"] in made:
                yield row | {"how": "by its target"}
            elif row["photo_id"] == image_id:
                yield row | {"how": "photo behind both sides"}
            elif row["layer_id"] == image_id:
                yield row | {"how": "mirrored in its reflection"}
            elif row["group"] in groups:
                yield row | {"how": "same scene"}


def _versions(layout: Layout, ids: set[str]) -> list[Row]:
    """Versions whose logged pair list names one of `ids`."""
    if not layout.mlflow_database.exists() and not _has_tracking_server():
        return []
    from evaluation.registry.flagging import pair_list
    from evaluation.registry.store import connect

    registry = connect(layout, load_params(layout.params).gate.model_name)
    found = []
    with registry.reachable(), tempfile.TemporaryDirectory() as folder:
        aliases = registry.aliases()
        for version in registry.versions():
            target = Path(folder) / version.number
            target.mkdir()
            path = pair_list(registry, version.run_id, target)
            if path is None:
                continue
            table = read_table(path, schemas.DATASET, [*IMAGES, "split"])
            seen = [
                row for row in table.to_pylist() if row["split"] == "train" and ids & image_ids(row)
            ]
            if seen:
                found.append(
                    {
                        "version": version.number,
                        "aliases": sorted(a for a, v in aliases.items() if v == version.number),
                        "dataset": version.tags.get("dataset", ""),
                        "pairs": len(seen),
                    }
                )
    return found


def _has_tracking_server() -> bool:
    import os

    return bool(os.environ.get("MLFLOW_TRACKING_URI"))
