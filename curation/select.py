"""Which collected images a stage may use, by the verdicts of the stages before it."""

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from catalog import schemas
from catalog.degradations import Degradation
from catalog.groups import with_versions
from catalog.tables import read_table


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


def contaminated_ids(contamination: Path, duplicates: Path) -> set[str]:
    """Images that match a benchmark, and the other versions of the same photos.

    A version that is cropped or degraded further may be too far from the benchmark's image to
    match it, and is near to one that does.
    """
    table = read_table(contamination, schemas.CONTAMINATION, ["image_id"])
    return with_versions(set(table["image_id"].to_pylist()), duplicates)
