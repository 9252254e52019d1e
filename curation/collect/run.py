"""`collect`: from sources to a snapshot, resumed where an earlier run of the same stopped."""

import asyncio
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from catalog.alone import alone
from catalog.blocklist import read_blocklist
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.collect import Collect
from curation.collect.engine import Engine
from curation.collect.history import History, stored_ids
from curation.collect.outcome import GOOD, OUT_OF_TIME, STORED
from curation.collect.plan import Planner
from curation.collect.progress import Progress
from curation.collect.snapshot import Work, find_work, keeps, publish, write_outcomes
from curation.collect.sources import PagedSource, Source
from curation.collect.state import State


@dataclass(frozen=True)
class Summary:
    """What a collection did.

    `folder` is the new snapshot below data/raw, None when nothing was left to fetch. `outcomes`
    counts the snapshot's URLs by outcome, `skipped` those that were not tried by reason,
    `retryable` the failures that may pass, `stored_bytes` the bytes of the new images,
    `most_in_flight` the most bytes of bodies that this run had in memory at one time.
    """

    folder: Path | None
    outcomes: dict[str, int]
    skipped: dict[str, int]
    retryable: int
    stored_bytes: int
    seconds: float
    most_in_flight: int = 0

    @property
    def stored(self) -> int:
        """New images."""
        return self.outcomes.get(STORED, 0)

    @property
    def tried(self) -> int:
        """URLs with an outcome in this snapshot."""
        return sum(self.outcomes.values())


def _begin(
    layout: Layout,
    described: Sequence[Any],
    settings: Collect,
    mode: str,
    blocked_ids: frozenset[str],
) -> tuple[Work, State]:
    """The unfinished snapshot to go on with and its journal; the caller closes the journal.

    Work that ended without any image is begun anew: files may be there by now, and settings that
    the name of the work leaves out (the user agent, time-outs) may be others. Only where the time
    was over before the last URL does it go on, else URLs that are gone would use it up every time.
    """
    work = find_work(layout, described, settings, mode)
    state = State(work.state, work.snapshot / "shards", blocked_ids)
    if not state.noted("failed"):
        return work, state
    if OUT_OF_TIME in state.counts():
        state.note("failed", False)
        state.retry_failures()
        return work, state
    state.close()
    shutil.rmtree(work.folder)
    work = find_work(layout, described, settings, mode)
    return work, State(work.state, work.snapshot / "shards", blocked_ids)


def _plan(
    state: State,
    sources: Sequence[Source | PagedSource],
    work: Work,
    layout: Layout,
    settings: Collect,
    modes: tuple[bool, bool],
) -> None:
    with History(work.folder / "history.sqlite", layout.raw, keeps(settings)) as history:
        planner = Planner(state, history, read_blocklist(layout.blocklist), *modes)
        planner.run(sources)
    if planner.seen == 0 and not modes[0]:  # that nothing failed is no fault
        raise UserError(
            "The sources hold no URLs at all.", "Give a list with at least one URL in it."
        )
    state.add_past_images(stored_ids(layout.raw))
    state.note("skipped", planner.skipped)
    state.note("planned", True)


def _all_failed(
    outcomes: dict[str, int], retryable: int, table: Path, first: dict[str, Any]
) -> UserError:
    counts = ", ".join(f"{n} {slug}" for slug, n in sorted(outcomes.items(), key=lambda x: -x[1]))
    place = first["url"] or first["url_key"]
    what_next = (
        f"{retryable} of them may pass: run the same command again."
        if retryable
        else "None of them will pass by waiting: correct the sources or the settings below "
        "`collect` in params.yaml, then run the same command again: it asks for all of them anew."
    )
    if "address-refused" in outcomes:
        what_next += " Networks of your own are let through by collect.allow_addresses."
    return UserError(
        f"No image came of {sum(outcomes.values())} URLs ({counts}). The first, {place}: "
        f"{first['detail'] or first['outcome']} Each with its reason is in {table}; "
        "no snapshot was made.",
        what_next,
    )


def _finish(
    state: State, work: Work, layout: Layout, settings: Collect, described: list[Any], began: float
) -> Summary:
    state.finish_shard()
    outcomes, retryable = state.counts(), state.retryable()
    skipped, stored_bytes = state.noted("skipped") or {}, state.stored_bytes()
    write_outcomes(state, work.outcomes)
    if not GOOD & outcomes.keys():
        state.note("failed", True)
        first = next(state.outcomes())[0]
        raise _all_failed(outcomes, retryable, work.outcomes, first)
    state.close()
    record = {
        "sources": described,
        "settings": settings.model_dump(mode="json"),
        "keeps": keeps(settings),
        "outcomes": outcomes,
        "skipped": skipped,
        "retryable": retryable,
        "stored_bytes": stored_bytes,
    }
    folder = publish(work, layout, record)
    return Summary(folder, outcomes, skipped, retryable, stored_bytes, time.monotonic() - began)


def collect(
    sources: Sequence[Source | PagedSource],
    layout: Layout,
    settings: Collect,
    *,
    retry_failed: bool = False,
    revisit: bool = False,
) -> Summary:
    """Fetch what is new in `sources` into a snapshot below data/raw.

    Killed at any moment, the same call goes on where it was: an unfinished snapshot of the same
    sources and filters is continued. One that came to its end without any image is begun anew.
    `retry_failed` takes only what failed in earlier snapshots and may pass (with `FailedEarlier` as
    the source: all of it), `revisit` fetches again what earlier snapshots have, to see what
    changed. Runs its own event loop, so it is not to be called from one. Raises `UserError`: no
    URLs (but nothing to retry is no fault), no image of any of them (the outcome table is kept
    until the next call), a full disk, another collection running.
    """
    began = time.monotonic()
    with alone(layout.collecting, f"Another collection is running in {layout.root}."):
        described = [source.describe() for source in sources]
        mode = f"retry={retry_failed} revisit={revisit}"
        blocklist = read_blocklist(layout.blocklist)
        work, state = _begin(layout, described, settings, mode, blocklist.image_ids)
        try:
            if not state.noted("planned"):
                try:
                    _plan(state, sources, work, layout, settings, (retry_failed, revisit))
                except UserError:
                    if not state.counts():
                        shutil.rmtree(work.folder, ignore_errors=True)
                    raise
            elif retry_failed:
                state.retry_failures()
            outcomes = state.counts()
            if not outcomes:
                skipped = state.noted("skipped") or {}
                shutil.rmtree(work.folder)
                return Summary(None, {}, skipped, 0, 0, time.monotonic() - began)
            pending, most = outcomes.get("", 0), 0
            if pending:
                with Progress(pending) as progress:
                    most = asyncio.run(Engine(state, sources, settings, blocklist, progress).run())
            done = _finish(state, work, layout, settings, described, began)
            return replace(done, most_in_flight=most)
        finally:
            state.close()
