"""Taken-down images: by URL, by image id, and by perceptual hash."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from catalog import schemas
from catalog.alone import alone
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.tables import read_table, write_table

URL, IMAGE_ID, PHASH = "url", "image_id", "phash"

URL_COLUMNS = ("url_key", "url", "final_url")
"""Columns of `schemas.OUTCOMES` that each name a place which gave the row's image."""

_WAIT = 60.0
"""Seconds to wait for other takedowns; one holds the table for milliseconds."""


def url_key(url: str) -> str:
    """The key by which a URL is the same one: never requested, only compared."""
    from w3lib.url import canonicalize_url

    try:
        return canonicalize_url(url)
    except (ValueError, LookupError):
        return url


def _bare(key: str) -> str:
    """A key without what leads to the same place: scheme, user, default port, the root's dot."""
    scheme, mark, rest = key.partition("://")
    place, slash, path = rest.partition("/")
    host = place.rpartition("@")[2].removesuffix({"http": ":80", "https": ":443"}.get(scheme, ""))
    return f"{host.removesuffix('.')}{slash}{path}" if mark else key


@dataclass(frozen=True)
class Blocklist:
    """What may not be collected: canonical URLs, image ids, pHashes of 32 bytes."""

    urls: frozenset[str] = frozenset()
    image_ids: frozenset[str] = frozenset()
    phashes: tuple[bytes, ...] = ()

    def blocks_url(self, url: str) -> bool:
        """Whether a URL was taken down, however it is spelt, by http or https."""
        return bool(self.urls) and _bare(url_key(url)) in self._bare_urls

    def blocks_outcome(self, row: Mapping[str, Any]) -> bool:
        """Whether any of the `URL_COLUMNS` of an outcome was taken down."""
        return any(map(self.blocks_url, {url for name in URL_COLUMNS if (url := row[name])}))

    @cached_property
    def _bare_urls(self) -> frozenset[str]:
        return frozenset(map(_bare, self.urls))


def read_blocklist(path: Path) -> Blocklist:
    """The blocklist; empty when there is none. Raises `UserError` for one that cannot be read."""
    by_kind: dict[str, list[str]] = {URL: [], IMAGE_ID: [], PHASH: []}
    for row in _rows(path):
        by_kind[row["kind"]].append(row["value"])
    return Blocklist(
        frozenset(by_kind[URL]),
        frozenset(by_kind[IMAGE_ID]),
        tuple(bytes.fromhex(value) for value in by_kind[PHASH]),
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        return read_table(path, schemas.BLOCKLIST).to_pylist()
    except UserError as error:
        # No stage makes it again: deleted, as other tables may be, it would lose takedowns.
        raise UserError(
            error.what,
            f"Get it back from Git (`git checkout -- {path}`) or a backup, and enter later "
            "takedowns again; without it what was taken down is used again.",
        ) from error


def add_to_blocklist(layout: Layout, entries: list[tuple[str, str]], reason: str, day: str) -> int:
    """Add (kind, value) entries that are not there yet; return how many were added.

    What other processes add at the same time is kept. Raises `UserError` for a table that cannot
    be read, and where others hold it for a minute.
    """
    path = layout.blocklist
    # Not in the table's own folder: DVC would take the lock's file for a change of it.
    place = layout.scratch("takedown")
    with alone(place, f"Another takedown is writing {path}.", _WAIT):
        rows = _rows(path)
        there = {(row["kind"], row["value"]) for row in rows}
        new = [entry for entry in dict.fromkeys(entries) if entry not in there]
        rows += [{"kind": k, "value": v, "reason": reason, "added": day} for k, v in new]
        write_table(path, rows, schemas.BLOCKLIST)
    return len(new)
