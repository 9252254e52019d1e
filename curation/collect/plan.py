"""Which URLs of the sources are to be fetched, given what earlier snapshots have."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from catalog.blocklist import Blocklist, url_key
from catalog.progress import track
from curation.collect.history import History, Past
from curation.collect.hosts import LOCAL
from curation.collect.http import host_of, parse_url
from curation.collect.outcome import FetchError
from curation.collect.rows import storable
from curation.collect.sources import Item, PagedSource, Source
from curation.collect.sources.warc import Warc
from curation.collect.state import State

_BATCH = 2048

ARCHIVED = "in-an-archive"
"""Why an item is not tried: a record of a WARC that is not among the sources.

Its URL names a host of the time of the archive, which nobody meant to ask.
"""


def make_row(item: Item, part: int, blocklist: Blocklist) -> dict[str, Any]:
    """The journal's row of an item; an item that is not to be fetched has its outcome already."""
    row: dict[str, Any] = {
        "url_key": item.key or url_key(str(item.url)),
        "url": item.url,
        "host": LOCAL,
        "locator": item.locator,
        "part": part,
        "source": item.source,
        "query": item.query,
        "source_page": item.source_page,
        "license": item.license,
        "creator": item.creator,
    }
    refused: FetchError | None = None
    if item.locator is None:
        try:
            row["host"] = host_of(parse_url(str(item.url)))
        except FetchError as error:
            refused = error
    if row["url_key"] in blocklist.urls or (item.url and blocklist.blocks_url(item.url)):
        refused = FetchError("blocked", "The URL was taken down.")
    if refused is not None:
        row |= {"outcome": refused.slug, "detail": refused.detail, "retryable": 0, "attempts": 0}
    return {name: storable(value) for name, value in row.items()}


class Planner:
    """Sorts items into new ones and ones that earlier snapshots have dealt with.

    `retry_failed` takes only failures that may pass, `revisit` also fetches again what is there
    (by conditional requests), to see what changed.
    """

    def __init__(
        self,
        state: State,
        history: History,
        blocklist: Blocklist,
        retry_failed: bool,
        revisit: bool,
    ) -> None:
        self._state = state
        self._history = history
        self._blocklist = blocklist
        self._retry_failed = retry_failed
        self._revisit = revisit
        self._tally: Counter[str] = Counter()

    def run(self, sources: Sequence[Source | PagedSource]) -> None:
        """Write all that is to be fetched to the journal. Raises `UserError`.

        After an interruption a source of pages goes on after the last page that was written, and
        any other source begins anew if it was not read to its end.
        """
        for part, source in enumerate(sources):
            if isinstance(source, PagedSource):
                self._tally += self._run_pages(source, part)
            else:
                self._tally += self._run_items(source, part)

    @property
    def seen(self) -> int:
        """Items that the sources gave."""
        return self._tally["seen"]

    @property
    def skipped(self) -> dict[str, int]:
        """Items that are not tried, by reason."""
        return {name: n for name, n in self._tally.items() if n and name != "seen"}

    def _run_items(self, source: Source, part: int) -> Counter[str]:
        note = f"items-{part}"
        if (kept := self._state.noted(note)) is not None:
            return Counter(kept)
        self._state.unplan(part)  # what a killed run planned would count as repeated
        tally: Counter[str] = Counter()
        for batch in _batches(track(source.items(), f"read {source.name}"), _BATCH):
            tally += self._plan(batch, part)
        self._state.note(note, tally)
        return tally

    def _run_pages(self, source: PagedSource, part: int) -> Counter[str]:
        note = f"pages-{part}"
        kept = self._state.noted(note) or {"cursor": None, "tally": {}}
        tally = Counter(kept["tally"])
        for items, cursor in track(source.pages(kept["cursor"]), f"ask {source.name}"):
            tally += self._plan(items, part)
            self._state.note(note, {"cursor": cursor, "tally": tally})
        return tally

    def _plan(self, batch: Sequence[Item], part: int) -> Counter[str]:
        tally = Counter(seen=len(batch))
        rows = []
        for item in batch:
            row = make_row(item, part, self._blocklist)
            past = self._history.find(row["url_key"])
            skip = self._why_skip(past)
            if skip is None and item.source == Warc.name and item.locator is None:
                skip = ARCHIVED
            if skip is not None:
                tally[skip] += 1
                continue
            if past is not None and past.good:
                row |= {
                    "previous_id": past.image_id,
                    "previous_etag": past.etag,
                    "previous_modified": past.last_modified,
                }
            rows.append(row)
        tally["repeated"] = len(rows) - self._state.plan(rows)
        return tally

    def _why_skip(self, past: Past | None) -> str | None:
        if past is None:
            return "not-a-failure" if self._retry_failed else None
        if self._retry_failed:
            return None if past.retryable else "not-a-failure"
        if self._revisit:
            return None
        if past.good:
            return "collected-earlier"
        if past.retryable:
            return "failed-earlier-may-pass"
        return "failed-earlier" if past.final else None


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
