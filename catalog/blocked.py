"""Which collected images have been taken down, for all that must not use or have used them."""

import numpy as np

from catalog import schemas
from catalog.blocklist import URL_COLUMNS, read_blocklist
from catalog.groups import with_versions
from catalog.layout import Layout
from catalog.tables import read_table


def blocked_ids(layout: Layout, hamming: int) -> frozenset[str]:
    """Collected images that the blocklist names by id, by URL, or by a pHash within `hamming`.

    With each go the other versions of the same photo, where data/duplicates is there to tell: a
    crop of it has another pHash and may have come from another place. Raises `UserError` for a
    table that is missing or damaged: passed over, what it names would come back.
    """
    blocklist = read_blocklist(layout.blocklist)
    found = set(blocklist.image_ids)
    if blocklist.urls:
        for table in layout.outcomes:
            columns = [*URL_COLUMNS, "image_id"]
            for row in read_table(table, schemas.OUTCOMES, columns).to_pylist():
                if row["image_id"] and blocklist.blocks_outcome(row):
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
        found |= with_versions(found, layout.duplicates)
    return frozenset(found)
