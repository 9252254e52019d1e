"""Which of the images that a model learned from have been taken down since."""

import numpy as np

from catalog import schemas
from catalog.layout import Layout
from catalog.tables import read_table


def taken_down(layout: Layout, learned: set[str], bits: int) -> list[str]:
    """Ids in `learned` that the blocklist names by id, by URL or by perceptual hash.

    A hash matches within `bits` of its 256. URLs are looked up in the outcomes of all snapshots.
    """
    if not layout.blocklist.exists() or not learned:
        return []
    rows = read_table(layout.blocklist, schemas.BLOCKLIST).to_pylist()
    by_kind: dict[str, set[str]] = {"image_id": set(), "url": set(), "phash": set()}
    for row in rows:
        by_kind.setdefault(row["kind"], set()).add(row["value"])
    found = learned & by_kind["image_id"]
    found |= learned & _by_url(layout, by_kind["url"])
    found |= learned & _by_hash(layout, by_kind["phash"], bits)
    return sorted(found)


def _by_url(layout: Layout, urls: set[str]) -> set[str]:
    if not urls:
        return set()
    found = set()
    for table in sorted(layout.raw.glob("*/outcomes.parquet")):
        columns = ["url_key", "url", "final_url", "image_id"]
        for row in read_table(table, schemas.OUTCOMES, columns).to_pylist():
            if row["image_id"] and {row["url_key"], row["url"], row["final_url"]} & urls:
                found.add(row["image_id"])
    return found


def _by_hash(layout: Layout, hashes: set[str], bits: int) -> set[str]:
    if not hashes or not layout.hashes.exists():
        return set()
    table = read_table(layout.hashes, schemas.HASHES, ["image_id", "phash"])
    known = [row for row in table.to_pylist() if row["phash"]]
    if not known:
        return set()
    stored = np.frombuffer(b"".join(row["phash"] for row in known), np.uint8).reshape(-1, 32)
    found = set()
    for value in hashes:
        wanted = np.frombuffer(bytes.fromhex(value), np.uint8)
        distance = np.bitwise_count(stored ^ wanted).sum(axis=1)
        found |= {known[index]["image_id"] for index in np.flatnonzero(distance <= bits)}
    return found
