"""The journal of an unfinished snapshot: what is to be fetched, what came of it, what is not yet
in a shard.

Three things survive a kill at any moment. The database (SQLite, WAL) has a row for every URL; a
row without an outcome is to be fetched. The spool has the bytes of images whose outcome is written
but whose shard is not finished. The finished shards have the rest. An image goes through them in
this order: bytes to the spool, outcome to the database (committed), bytes to the shard, and once
the shard is whole, the mark that it is. What a crash leaves half done is therefore always visible:
`recover` fills a new shard from the spool, and forgets the outcome of an image whose bytes are not
whole there (their hash tells), so that its URL is fetched again.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from catalog import images, schemas
from catalog.errors import UserError
from catalog.files import disk_errors
from catalog.shards import MAX_BYTES, MAX_IMAGES, ShardStore, ShardWriter
from curation.collect.outcome import KNOWN, STORED, UNCHANGED
from curation.collect.rows import Pending, Result, storable

_TABLES = """
create table if not exists item (
  seq integer primary key, url_key text not null unique, url text, host text not null,
  locator text, part integer not null, source text not null, query text, source_page text,
  license text, creator text, previous_id text, previous_etag text, previous_modified text,
  outcome text, detail text, retryable integer, status integer, final_url text, hops text,
  image_id text, etag text, last_modified text, byte_size integer, attempts integer,
  fetched_at integer);
create index if not exists item_pending on item (host, seq) where outcome is null;
create index if not exists item_image on item (image_id) where image_id is not null;
create table if not exists image (
  image_id text primary key, seq integer not null, spool text not null, start integer not null,
  size integer not null, header text not null, creator text, in_shard integer not null);
create index if not exists image_loose on image (spool) where in_shard = 0;
create table if not exists past_image (image_id text primary key) without rowid;
create table if not exists note (name text primary key, value text not null);
"""

_PLANNED = (
    "url_key", "url", "host", "locator", "part", "source", "query", "source_page", "license",
    "creator", "previous_id", "previous_etag", "previous_modified", "outcome", "detail",
    "retryable", "attempts",
)  # fmt: skip

_RECORDED = (
    "outcome", "detail", "retryable", "status", "final_url", "hops", "image_id", "etag",
    "last_modified", "byte_size", "attempts", "fetched_at", "creator",
)  # fmt: skip


class State:
    """The journal of one snapshot in `folder`; shards go to `shards`. For one thread at a time."""

    def __init__(
        self,
        folder: Path,
        shards: Path,
        blocked_ids: frozenset[str] = frozenset(),
        max_bytes: int = MAX_BYTES,
        max_images: int = MAX_IMAGES,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._blocked = blocked_ids
        self._limits = (max_bytes, max_images)
        with self._errors():
            self._base = sqlite3.connect(folder / "journal.sqlite", check_same_thread=False)
            self._base.row_factory = sqlite3.Row
            self._base.execute("pragma journal_mode = wal")
            self._base.execute("pragma synchronous = normal")
            self._base.executescript(_TABLES)
        self._shards = shards
        self._writer = ShardWriter(shards, max_bytes, max_images)
        self._in_writer = (0, 0)  # bytes, images
        self._spool = self._new_spool()
        self._recover()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with disk_errors(self._folder):
                yield
        except sqlite3.OperationalError as error:
            if "full" not in str(error) and "disk I/O" not in str(error):
                raise
            raise UserError(
                f"No space left on the disk while writing {self._folder}.",
                "Free some space and run the same command again; finished parts are kept.",
            ) from error

    # Planning

    def note(self, name: str, value: Any) -> None:
        """Keep a small JSON value under a name."""
        with self._errors(), self._base:
            self._base.execute(
                "insert or replace into note values (?, ?)", (name, json.dumps(value))
            )

    def noted(self, name: str) -> Any:
        """The value kept under `name`, None where there is none."""
        row = self._base.execute("select value from note where name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def plan(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Add rows (columns of `_PLANNED`) whose key is new; return how many were."""
        before = self._base.total_changes
        holes = ", ".join(f":{name}" for name in _PLANNED)
        blank = dict.fromkeys(_PLANNED)
        with self._errors(), self._base:
            self._base.executemany(
                f"insert or ignore into item ({', '.join(_PLANNED)}) values ({holes})",  # noqa: S608
                ({**blank, **row} for row in rows),
            )
        return self._base.total_changes - before

    def unplan(self, part: int) -> None:
        """Drop the rows of one source, of which none may have been fetched yet."""
        with self._errors(), self._base:
            self._base.execute("delete from item where part = ?", (part,))

    def add_past_images(self, ids: Iterable[str]) -> None:
        """Ids that earlier snapshots hold; they are not stored again."""
        with self._errors(), self._base:
            self._base.executemany(
                "insert or ignore into past_image values (?)", ((key,) for key in ids)
            )

    def retry_failures(self) -> int:
        """Make every failure that may pass pending again; return how many."""
        with self._errors(), self._base:
            return self._base.execute(
                "update item set outcome = null, detail = null, retryable = 0 where retryable = 1"
            ).rowcount

    # Fetching

    def hosts(self) -> list[tuple[str, int]]:
        """Hosts with pending rows and how many, the most first."""
        return [
            (row[0], row[1])
            for row in self._base.execute(
                "select host, count(*) from item where outcome is null group by host "
                "order by count(*) desc, min(seq)"
            )
        ]

    def pending(self, host: str, after: int, limit: int) -> list[Pending]:
        """The next pending rows of a host."""
        rows = self._base.execute(
            "select seq, url_key, url, host, locator, part, previous_id, previous_etag, "
            "previous_modified from item where outcome is null and host = ? and seq > ? "
            "order by seq limit ?",
            (host, after, limit),
        )
        return [Pending(*row) for row in rows]

    def give_up(self, host: str, after: int, outcome: str, detail: str) -> int:
        """Write `outcome` (retryable) to a host's pending rows beyond `after`; return how many."""
        with self._errors(), self._base:
            return self._base.execute(
                "update item set outcome = ?, detail = ?, retryable = 1, attempts = 0 "
                "where outcome is null and host = ? and seq > ?",
                (outcome, detail, host, after),
            ).rowcount

    def give_up_rest(self, outcome: str, detail: str) -> int:
        """Write `outcome` (retryable) to every pending row; return how many."""
        with self._errors(), self._base:
            return self._base.execute(
                "update item set outcome = ?, detail = ?, retryable = 1, attempts = 0 "
                "where outcome is null",
                (outcome, detail),
            ).rowcount

    def record(self, results: Sequence[Result]) -> list[str]:
        """Write what came of some rows, durably; return their outcomes.

        An image that is there already becomes "known", a taken-down one "blocked".
        """
        fresh: list[Result] = []
        with self._errors():
            with self._base:
                for result in results:
                    if result.image_id is not None:
                        self._settle(result, fresh)
                    self._base.execute(
                        f"update item set {', '.join(f'{name} = ?' for name in _RECORDED[:-1])}, "  # noqa: S608
                        "creator = coalesce(creator, ?) where seq = ?",
                        (*self._values(result), result.item.seq),
                    )
                self._spool.flush()
            for result in fresh:
                self._to_shard(result)
        return [result.outcome for result in results]

    def _values(self, result: Result) -> list[Any]:
        values = {name: getattr(result, name) for name in _RECORDED}
        values["hops"] = json.dumps(list(map(storable, result.hops))) if result.hops else None
        values["retryable"] = int(result.retryable)
        return [storable(value) for value in values.values()]

    def _settle(self, result: Result, fresh: list[Result]) -> None:
        key = result.image_id
        if key in self._blocked:
            result.outcome, result.detail = "blocked", "The image was taken down."
            result.image_id = None
        elif result.item.previous_id == key:
            result.outcome = UNCHANGED
        elif self._has(str(key)):
            result.outcome = KNOWN
        elif result.data is not None and result.header is not None:
            result.outcome = STORED
            start = self._spool.tell()
            self._spool.write(result.data)
            self._base.execute(
                "insert into image values (?, ?, ?, ?, ?, ?, ?, 0)",
                (
                    key, result.item.seq, Path(self._spool.name).name, start, len(result.data),
                    json.dumps(vars(result.header)), result.creator,
                ),
            )  # fmt: skip
            fresh.append(result)

    def _has(self, key: str) -> bool:
        found = self._base.execute(
            "select 1 from image where image_id = :key "
            "union all select 1 from past_image where image_id = :key",
            {"key": key},
        ).fetchone()
        return found is not None

    # Shards

    def _new_spool(self) -> Any:
        numbers = [int(path.stem.split("-")[1]) for path in self._folder.glob("spool-*.bin")]
        return (self._folder / f"spool-{max(numbers, default=0) + 1:06d}.bin").open("wb")

    def _provenance(self, seq: int) -> dict[str, str | None]:
        row = self._base.execute(
            f"select {', '.join(schemas.PROVENANCE.names)} from item where seq = ?",  # noqa: S608
            (seq,),
        ).fetchone()
        return dict(row)

    def _to_shard(self, result: Result) -> None:
        assert result.data is not None and result.header is not None
        self._append(result.data, result.header, result.item.seq)
        result.data = None

    def _append(self, data: bytes, header: images.Header, seq: int) -> None:
        size, count = self._in_writer
        max_bytes, max_images = self._limits
        if count and (size + len(data) > max_bytes or count >= max_images):
            self.finish_shard()
            size, count = 0, 0
        self._writer.add(data, header, self._provenance(seq))
        self._in_writer = (size + len(data), count + 1)

    def finish_shard(self) -> None:
        """Finish the open shard and drop the spool files that nothing needs any more."""
        with self._errors():
            self._mark(self._writer.finish_shard())
            self._in_writer = (0, 0)
            old, self._spool = self._spool, self._new_spool()
            old.close()
            self._drop_spools()

    def _mark(self, ids: Iterable[str]) -> None:
        with self._base:
            self._base.executemany(
                "update image set in_shard = 1 where image_id = ?", ((key,) for key in ids)
            )

    def _drop_spools(self) -> None:
        needed = {
            row[0]
            for row in self._base.execute("select distinct spool from image where in_shard = 0")
        }
        for path in self._folder.glob("spool-*.bin"):
            if path.name not in needed and path.name != Path(self._spool.name).name:
                path.unlink()

    def _recover(self) -> None:
        loose = self._base.execute("select * from image where in_shard = 0 order by seq").fetchall()
        if not loose:
            return
        stored = set(ShardStore(self._shards).ids())
        self._mark(row["image_id"] for row in loose if row["image_id"] in stored)
        with self._errors():
            for row in loose:
                if row["image_id"] in stored:
                    continue
                data = self._from_spool(row)
                if data is None:
                    self._forget(row["image_id"])
                else:
                    self._append(data, images.Header(**json.loads(row["header"])), row["seq"])
            self._drop_spools()

    def _from_spool(self, row: sqlite3.Row) -> bytes | None:
        path = self._folder / row["spool"]
        if not path.exists():
            return None
        with path.open("rb") as file:
            file.seek(row["start"])
            data = file.read(row["size"])
        return data if images.image_id(data) == row["image_id"] else None

    def _forget(self, image_id: str) -> None:
        with self._base:
            self._base.execute("update item set outcome = null where image_id = ?", (image_id,))
            self._base.execute("delete from image where image_id = ?", (image_id,))

    # Reading

    def counts(self) -> dict[str, int]:
        """Rows by outcome; pending ones under ""."""
        rows = self._base.execute("select coalesce(outcome, ''), count(*) from item group by 1")
        return {row[0]: row[1] for row in rows}

    def retryable(self) -> int:
        """How many failures may pass."""
        return int(
            self._base.execute("select count(*) from item where retryable = 1").fetchone()[0]
        )

    def stored_bytes(self) -> int:
        """Bytes of the images that this snapshot stores."""
        return int(self._base.execute("select coalesce(sum(size), 0) from image").fetchone()[0])

    def outcomes(self, batch: int = 4096) -> Iterator[list[dict[str, Any]]]:
        """All rows in the order of the sources, as rows of `schemas.OUTCOMES`."""
        after = 0
        while True:
            rows = self._base.execute(
                "select * from item where seq > ? order by seq limit ?", (after, batch)
            ).fetchall()
            if not rows:
                return
            after = rows[-1]["seq"]
            yield [self._outcome(row) for row in rows]

    def _outcome(self, row: sqlite3.Row) -> dict[str, Any]:
        values = {name: row[name] for name in schemas.OUTCOMES.names}
        values["hops"] = json.loads(row["hops"]) if row["hops"] else []
        values["retryable"] = bool(row["retryable"])
        return values

    def close(self) -> None:
        """Close the files; an open shard stays in the spool."""
        if not self._spool.closed:
            self._writer.__exit__(KeyboardInterrupt, None, None)
            with suppress(OSError):  # a full disk has been told already
                self._spool.close()
            self._base.close()
