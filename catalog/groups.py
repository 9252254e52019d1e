"""Groups of versions of one photo, as deduplication found them."""

from collections.abc import Set
from pathlib import Path

from catalog import schemas
from catalog.tables import read_table


def groups_of(duplicates: Path) -> dict[str, str]:
    """Image id -> group of its near-duplicates; an image that is not in it is a group alone."""
    table = read_table(duplicates, schemas.DUPLICATES, ["image_id", "group"])
    return {key: group for key, group in zip(*table.to_pydict().values(), strict=True) if group}


def with_versions(ids: Set[str], duplicates: Path) -> set[str]:
    """`ids` and all images that are in a group with one of them."""
    if not ids:
        return set()
    group_of = groups_of(duplicates)
    found = {group_of[key] for key in ids if key in group_of}
    return set(ids) | {key for key, group in group_of.items() if group in found}
