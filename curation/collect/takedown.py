"""Blocking an image so that it cannot come back: by URL, by id, and by perceptual hash."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from catalog import schemas
from catalog.blocklist import (
    IMAGE_ID,
    PHASH,
    URL,
    URL_COLUMNS,
    Blocklist,
    add_to_blocklist,
    url_key,
)
from catalog.errors import ImageRefused, UserError
from catalog.images import image_id
from catalog.layout import Layout
from catalog.settings.collect import MOST_PIXELS, Collect
from catalog.shards import ShardStore
from catalog.tables import read_table
from curation.collect.examine import clean, perceptual_hash
from curation.collect.history import OUTCOMES_FILE, snapshots

Entry = tuple[str, str]
"""Kind and value of a row of the blocklist."""

_ID = re.compile(r"[0-9a-f]{64}")
_LENIENT = Collect(min_side=1, max_aspect=1e9, opt_outs=(), max_pixels=MOST_PIXELS)
"""An image that the collection's filters would refuse can still be blocked."""


class SearchFailed(UserError):
    """What was named is blocked, but what else is known of its image could not be looked for."""


@dataclass(frozen=True)
class TakenDown:
    """What a takedown wrote: `image_ids` are blocked, `found` those of them that are collected."""

    blocklist: Path
    added: int
    image_ids: list[str]
    found: list[str]


def _collected(layout: Layout) -> Iterator[pa.Table]:
    """Of each snapshot the outcomes that are images, with their `URL_COLUMNS` and `image_id`."""
    for folder in snapshots(layout.raw):
        table = read_table(folder / OUTCOMES_FILE, schemas.OUTCOMES, [*URL_COLUMNS, "image_id"])
        yield table.filter(pc.is_valid(table["image_id"]))


def _ids_from(url: str, layout: Layout) -> list[str]:
    """Ids of the collected images that came from `url`, by the rule that blocks it."""
    wanted = Blocklist(urls=frozenset([url]))
    return [
        row["image_id"]
        for table in _collected(layout)
        for row in table.to_pylist()
        if wanted.blocks_outcome(row)
    ]


def _urls_of(ids: list[str], layout: Layout) -> list[str]:
    """Keys of the URLs that were asked for and gave one of the images `ids`."""
    return [
        row["url_key"]
        for table in _collected(layout)
        for row in table.filter(pc.is_in(table["image_id"], pa.array(ids, pa.string()))).to_pylist()
        if row["url"] is not None
    ]


def _of_file(path: Path) -> tuple[list[str], bytes]:
    """The ids under which a file's image may be stored, and its pHash."""
    data = path.read_bytes()
    try:
        cut, _, _ = clean(data, _LENIENT)
        return list(dict.fromkeys([image_id(cut), image_id(data)])), perceptual_hash(cut)
    except ImageRefused:
        pass
    try:
        # What is not stored with its metadata and cannot be cut (a photographer's TIFF): copies of
        # it without them, in whatever format, have its pHash.
        return [image_id(data)], perceptual_hash(data)
    except ImageRefused as error:
        remedy = "Give an image file, an id or a URL."
        if error.reason == "too-many-pixels":
            remedy = f"Give a copy scaled down to {MOST_PIXELS:,} pixels: its pHash blocks others."
        raise UserError(f"{path}: {error.what}", remedy) from error


def _given(what: str) -> list[Entry]:
    """What `what` says by itself. Raises `UserError` for what is no URL, no id and no image."""
    if "://" in what:
        return [(URL, url_key(what))]
    if _ID.fullmatch(what.lower()):
        return [(IMAGE_ID, what.lower())]
    if Path(what).is_file():
        ids, phash = _of_file(Path(what))
        return [*((IMAGE_ID, key) for key in ids), (PHASH, phash.hex())]
    raise UserError(
        f"{what!r} is no URL, no image id (64 hexadecimal digits) and no file.",
        "Give one of the three.",
    )


def _known(given: list[Entry], layout: Layout) -> tuple[list[str], list[str], list[Entry]]:
    """Of the images that `given` names: their ids, those of them in data/raw, all their entries.

    Raises `UserError` for a table or a shard of a snapshot that is missing or damaged.
    """
    ids = [value for kind, value in given if kind == IMAGE_ID]
    for url in (value for kind, value in given if kind == URL):
        ids += _ids_from(url, layout)
    ids = list(dict.fromkeys(ids))
    store = ShardStore(layout.raw) if layout.raw.is_dir() else ShardStore()
    found = [key for key in ids if key in store]
    entries = [
        *((IMAGE_ID, key) for key in ids),
        *((URL, url) for url in _urls_of(ids, layout)),
        *((PHASH, perceptual_hash(store.get(key).data).hex()) for key in found),
    ]
    return ids, found, entries


def take_down(what: str, reason: str, layout: Layout) -> TakenDown:
    """Add `what` (a URL, an image id, or the path of an image) to the blocklist.

    Whatever is known of the image from any of the three is blocked too: the URLs that gave it,
    its id, its pHash, so that neither a copy elsewhere nor a re-encoding comes back. Raises
    `UserError` when `what` is none of the three, and `SearchFailed`, with `what` itself blocked,
    when a snapshot cannot be searched for the rest.
    """
    if not reason.strip():
        raise UserError("A takedown needs a reason.", "Say why with --reason TEXT.")
    given = _given(what)
    day = time.strftime("%Y-%m-%d", time.gmtime())
    # Before the search: a damaged snapshot must not keep what was asked for off the blocklist.
    added = add_to_blocklist(layout, given, reason.strip(), day)
    try:
        ids, found, known = _known(given, layout)
    except UserError as error:
        raise SearchFailed(
            f"{what} itself is on the blocklist now, but what else is known of its image is not: "
            f"{error.what}",
            "Mend that (`dvc checkout` gets back what data/raw has lost), then run the same "
            "command again: it adds the rest.",
        ) from error
    added += add_to_blocklist(layout, known, reason.strip(), day)
    return TakenDown(layout.blocklist, added, ids, found)
