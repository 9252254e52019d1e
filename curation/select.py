"""Which collected images a stage may use, by the verdicts of the stages before it."""

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from catalog import schemas
from catalog.degradations import Degradation
from catalog.layout import Layout
from catalog.tables import read_table
from curation.collect.blocklist import read_blocklist


@dataclass(frozen=True)
class Selected:
    """One usable image: the degradations to restore (none for a clean one), strongest first."""

    image_id: str
    group: str
    degradations: tuple[Degradation, ...]


def select_images(
    screening: Path,
    duplicates: Path,
    contamination: Path,
    verdict: Literal["degraded", "clean"],
    blocked: Set[str] = frozenset(),
) -> tuple[list[Selected], Counter[str]]:
    """Images with this verdict of screening, sorted by id, and the others counted by reason.

    Left out are copies, images that match a benchmark or are another version of one that does, and
    those in `blocked`. Images of the other usable verdict are not counted: they are not dropped but
    used elsewhere.
    """
    groups = {
        row["image_id"]: row
        for row in read_table(
            duplicates, schemas.DUPLICATES, ["image_id", "group", "relation"]
        ).to_pylist()
    }
    matches = contaminated_ids(contamination, duplicates)
    columns = ["image_id", "degradation", "also", "verdict", "reason"]
    chosen, dropped = [], Counter[str]()
    for row in read_table(screening, schemas.SCREENING, columns).to_pylist():
        key = row["image_id"]
        group = groups.get(key, {"group": key, "relation": "keeper"})
        if row["verdict"] != verdict:
            if row["verdict"] not in ("degraded", "clean"):
                dropped["screened-out"] += 1
            continue
        if key in blocked:
            dropped["taken-down"] += 1
        elif key in matches:
            dropped["benchmark"] += 1
        elif group["relation"] == "copy":
            dropped["copy"] += 1
        else:
            names = [row["degradation"], *(row["also"] or [])] if verdict == "degraded" else []
            tasks = tuple(dict.fromkeys(Degradation(name) for name in names if name))
            if verdict == "degraded" and not tasks:
                dropped["no-degradation"] += 1
            else:
                chosen.append(Selected(key, group["group"] or key, tasks))
    return sorted(chosen, key=lambda image: image.image_id), dropped


def groups_of(duplicates: Path) -> dict[str, str]:
    """Image id -> group of its near-duplicates; an image that is not in it is a group alone."""
    table = read_table(duplicates, schemas.DUPLICATES, ["image_id", "group"])
    return {key: group for key, group in zip(*table.to_pydict().values(), strict=True) if group}


def contaminated_ids(contamination: Path, duplicates: Path) -> set[str]:
    """Images that match a benchmark, and the other versions of the same photos.

    A version that is cropped or degraded further may be too far from the benchmark's image to
    match it, and is near to one that does.
    """
    table = read_table(contamination, schemas.CONTAMINATION, ["image_id"])
    return _with_versions(set(table["image_id"].to_pylist()), duplicates)


def _with_versions(ids: Set[str], duplicates: Path) -> set[str]:
    """`ids` and all images that are in a group with one of them."""
    if not ids:
        return set()
    group_of = groups_of(duplicates)
    found = {group_of[key] for key in ids if key in group_of}
    return set(ids) | {key for key, group in group_of.items() if group in found}


def blocked_ids(layout: Layout, hamming: int) -> frozenset[str]:
    """Collected images that the blocklist names by id, by URL, or by a pHash within `hamming`.

    With each go the other versions of the same photo, where data/duplicates is there to tell: a
    crop of it has another pHash and may have come from another place.
    """
    blocklist = read_blocklist(layout.blocklist)
    found = set(blocklist.image_ids)
    if blocklist.urls:
        for table in sorted(layout.raw.glob("*/outcomes.parquet")):
            columns = ["url", "final_url", "image_id"]
            for row in read_table(table, schemas.OUTCOMES, columns).to_pylist():
                urls = [url for url in (row["url"], row["final_url"]) if url]
                if row["image_id"] and any(map(blocklist.blocks_url, urls)):
                    found.add(row["image_id"])
    if blocklist.phashes and layout.hashes.exists():
        table = read_table(layout.hashes, schemas.HASHES, ["image_id", "phash"]).to_pylist()
        known = [row for row in table if row["phash"]]
        if known:
            stored = np.frombuffer(b"".join(row["phash"] for row in known), np.uint8)
            for value in blocklist.phashes:
                wanted = np.frombuffer(value, np.uint8)
                bits = np.bitwise_count(stored.reshape(-1, 32) ^ wanted).sum(axis=1)
                found |= {known[index]["image_id"] for index in np.flatnonzero(bits <= hamming)}
    if layout.duplicates.exists():
        found |= _with_versions(found, layout.duplicates)
    return frozenset(found)
