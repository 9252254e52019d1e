"""Taken-down images: by URL, by image id, and by perceptual hash."""

from dataclasses import dataclass
from pathlib import Path

from catalog import schemas
from catalog.tables import read_table, write_table

URL, IMAGE_ID, PHASH = "url", "image_id", "phash"


@dataclass(frozen=True)
class Blocklist:
    """What may not be collected: canonical URLs, image ids, pHashes of 32 bytes."""

    urls: frozenset[str] = frozenset()
    image_ids: frozenset[str] = frozenset()
    phashes: tuple[bytes, ...] = ()

    def blocks_url(self, url: str) -> bool:
        """Whether a URL was taken down, however it is spelt."""
        from w3lib.url import canonicalize_url

        return bool(self.urls) and canonicalize_url(url) in self.urls


def read_blocklist(path: Path) -> Blocklist:
    """The blocklist; empty when there is none. Raises `UserError` for a table of another schema."""
    if not path.exists():
        return Blocklist()
    rows = read_table(path, schemas.BLOCKLIST).to_pylist()
    by_kind: dict[str, list[str]] = {URL: [], IMAGE_ID: [], PHASH: []}
    for row in rows:
        by_kind[row["kind"]].append(row["value"])
    return Blocklist(
        frozenset(by_kind[URL]),
        frozenset(by_kind[IMAGE_ID]),
        tuple(bytes.fromhex(value) for value in by_kind[PHASH]),
    )


def add_to_blocklist(path: Path, entries: list[tuple[str, str]], reason: str, day: str) -> int:
    """Add (kind, value) entries that are not there yet; return how many were added."""
    rows = read_table(path, schemas.BLOCKLIST).to_pylist() if path.exists() else []
    there = {(row["kind"], row["value"]) for row in rows}
    new = [entry for entry in dict.fromkeys(entries) if entry not in there]
    rows += [{"kind": k, "value": v, "reason": reason, "added": day} for k, v in new]
    write_table(path, rows, schemas.BLOCKLIST)
    return len(new)
