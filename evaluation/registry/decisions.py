"""Decisions of people, and the champion that follows from them.

Setting the alias champion is the one moment in which a promotion happens; the record (see
evaluation.registry.records) is written before it, the alias previous and all else after it. What a
kill left between them is settled by whoever next takes the lock.
"""

import hashlib
from collections.abc import Sequence

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import Params
from evaluation.gate import PROMOTE
from evaluation.registry.contents import check_contents, read_contents
from evaluation.registry.flagging import blocked, digest_of, learned, uncheckable
from evaluation.registry.lock import locked
from evaluation.registry.records import (
    NONE,
    Record,
    append,
    is_done,
    read_report,
    records,
    set_done,
)
from evaluation.registry.store import CANDIDATE, CHAMPION, PREVIOUS, Registry, Version, connect
from evaluation.report import is_sealed

_TAKEN_BACK = ("rejected", "rolled-back")


def approve(
    layout: Layout,
    params: Params,
    version: str | int,
    by: str,
    override: str | None = None,
    report_sha256: str | None = None,
) -> Record:
    """Make a gated version the champion; the champion before becomes previous.

    The approval holds for what the gate saw: refused (`UserError`) when the champion has changed
    since, when the report was edited or says another verdict than the tags, when `report_sha256`
    (what the person read) is not the report's, when a file of the version is not the one that was
    registered, when the version was rejected or rolled back since, and when the verdict is not
    promote and no `override` reason is given.
    """
    registry = connect(layout, params.gate.model_name)
    _named(by)
    override = (override or "").strip() or None
    with registry.reachable():
        # Before the lock, which nobody should hold for as long as gigabytes take.
        contents = read_contents(registry, registry.version(version).number)
    with registry.reachable(), locked(registry):
        past = settle(registry)
        found = registry.version(version)
        champion = registry.champion()
        if champion == found.number:
            raise UserError(f"Version {version} is the champion already.", "Nothing to approve.")
        _approvable(registry, found, champion, override, report_sha256)
        check_contents(registry, found, contents)
        _still_clean(registry, found, params.gate.takedown_bits)
        reason = f"override: {override}" if override else "the gate's verdict"
        record = append(
            registry, past, "approve", found.number, champion, found.number, champion, by, reason
        )
        _carry_out(registry, record)
        return record


def reject(layout: Layout, params: Params, version: str | int, by: str, reason: str) -> Record:
    """Record that a version is not to be promoted. Raises `UserError` for the champion."""
    registry = connect(layout, params.gate.model_name)
    _named(by)
    if not reason.strip():
        raise UserError("A rejection needs a reason.", "Give one with --reason.")
    with registry.reachable(), locked(registry):
        past = settle(registry)
        found = registry.version(version)
        aliases = registry.aliases()
        champion = aliases.get(CHAMPION)
        if champion == found.number:
            raise UserError(
                f"Version {version} is the champion.", "Use `mendline rollback` to go back."
            )
        record = append(
            registry,
            past,
            "reject",
            found.number,
            champion,
            champion,
            aliases.get(PREVIOUS),
            by,
            reason,
        )
        _finish(registry, record)
        return record


def rollback(layout: Layout, params: Params, by: str, reason: str = "") -> Record:
    """Make the previous champion the champion again.

    Raises `UserError` where there is none, where its files are not those that were registered, and
    where it learned from what was taken down since and no `reason` is given.
    """
    registry = connect(layout, params.gate.model_name)
    _named(by)
    with registry.reachable(), locked(registry):
        past = settle(registry)
        aliases = registry.aliases()
        champion, previous = aliases.get(CHAMPION), aliases.get(PREVIOUS)
        if champion is None or previous is None:
            raise UserError(
                f"{registry.name} has no previous champion to go back to.",
                "`mendline review` lists the versions; approve one of them.",
            )
        tainted = registry.find(previous)
        if tainted and not reason.strip():
            known = learned(registry, tainted.run_id)
            ids = blocked(registry.layout, known, params.gate.takedown_bits)
            if ids:
                raise UserError(
                    f"Version {previous} learned from {len(ids)} image(s) that have been taken "
                    f"down, such as {ids[0][:12]}.",
                    "Approve another version, or go back all the same and give the --reason.",
                )
        if tainted:
            check_contents(registry, tainted, read_contents(registry, previous), caches=True)
        before = _before(past, previous)
        record = append(
            registry, past, "rollback", previous, champion, previous, before, by, reason
        )
        _carry_out(registry, record)
        return record


def settle(registry: Registry) -> list[Record]:
    """Bring aliases and record together after an interruption; return the record. Under the lock.

    The alias champion decides: still the champion before means that an interrupted decision did not
    happen (a `void` record says so), the new one means that only what comes after it is to follow.
    Any other champion was set by other hands, which is recorded.
    """
    past = records(registry)
    if not past:
        return past
    last, aliases = past[-1], registry.aliases()
    champion = aliases.get(CHAMPION, NONE)
    done = is_done(registry, last)
    if champion == last.champion_after:
        if done:
            _set_previous(registry, last)
        else:
            _finish(registry, last)
        return past
    gone = registry.find(last.version) is None
    kind = "moved" if done or gone or champion != last.champion_before else "void"
    reason = (
        f"entry {last.number} was interrupted before the champion moved"
        if kind == "void"
        else f"the champion was set to {champion} outside of Mendline"
    )
    previous = aliases.get(PREVIOUS)
    record = append(
        registry, past, kind, last.version, champion, champion, previous, "mendline", reason
    )
    _finish(registry, record)
    return [*past, record]


def _named(by: str) -> None:
    if not by.strip() or len(by) > 200:
        raise UserError("A decision needs the name of a person.", "Give it with --by NAME.")


def _approvable(
    registry: Registry,
    found: Version,
    champion: str | None,
    override: str | None,
    read: str | None,
) -> None:
    tags = found.tags
    again = f"Run the gate again with `mendline review --gate {found.number}` and read its report."
    if "verdict" not in tags or "report_sha256" not in tags:
        raise UserError(f"Version {found.number} has not been through the gate.", again)
    if "contents" not in tags:
        raise UserError(
            f"What the files of version {found.number} were at the gate is not on record.", again
        )
    if tags["champion_seen"] != (champion or NONE):
        raise UserError(
            f"The gate compared version {found.number} with champion {tags['champion_seen']}, but "
            f"the champion is now {champion or NONE}.",
            again,
        )
    if read is not None and read != tags["report_sha256"]:
        raise UserError(
            f"The report of version {found.number} is not the one that was read "
            f"({tags['report_sha256'][:12]}, read {read[:12]}).",
            again,
        )
    page = read_report(registry, found)
    if page is None or hashlib.sha256(page).hexdigest() != tags["report_sha256"]:
        raise UserError(
            f"The report of version {found.number} was changed after the gate wrote it.", again
        )
    said = (tags["champion_seen"], tags["verdict"], tags["contents"])
    if not is_sealed(page, found.number, *said):
        raise UserError(
            f"The report of version {found.number} does not say what its tags do: "
            f"{tags['verdict']} against champion {tags['champion_seen']}, files "
            f"{tags['contents'][:12]}.",
            again,
        )
    if tags.get("state") in _TAKEN_BACK:
        raise UserError(f"Version {found.number} was {tags['state']} since the gate.", again)
    if tags["verdict"] != PROMOTE and not override:
        raise UserError(
            f"The gate's verdict on version {found.number} is {tags['verdict']}: "
            f"{tags.get('reasons', '')}",
            "Only `promote` is approved; `--override REASON` approves it all the same and records "
            "the reason.",
        )
    if tags["verdict"] == PROMOTE and override:
        raise UserError(
            "There is nothing to override: the verdict is promote.", "Approve without --override."
        )


def _still_clean(registry: Registry, found: Version, bits: int) -> None:
    """Refuse what was taken down after the gate; what the gate saw, it has said."""
    known = learned(registry, found.run_id)
    ids = blocked(registry.layout, known, bits)
    unknown = found.tags["verdict"] == PROMOTE and uncheckable(registry.layout, known)
    if unknown or (ids and digest_of(ids) != found.tags.get("taken_down_seen")):
        raise UserError(
            f"Since version {found.number} went through the gate, "
            + (
                "images have been taken down, and what it learned from is not on record."
                if unknown
                else f"{len(ids)} image(s) that it learned from have been taken down, such as "
                f"{ids[0][:12]}."
            ),
            f"Train it again without them; `mendline review --gate {found.number}` puts it on "
            "record.",
        )


def _carry_out(registry: Registry, record: Record) -> None:
    registry.client.set_registered_model_alias(registry.name, CHAMPION, record.champion_after)
    _finish(registry, record)


def _finish(registry: Registry, record: Record) -> None:
    """All that follows a record once the champion is the one that it names; safe to repeat."""
    _set_previous(registry, record)
    states = {
        "approve": {record.version: "approved"},
        "reject": {record.version: "rejected"},
        "rollback": {record.champion_before: "rolled-back", record.version: "approved"},
    }.get(record.kind, {})
    if states and registry.aliases().get(CANDIDATE) == record.version:
        registry.client.delete_registered_model_alias(registry.name, CANDIDATE)
    for version, state in states.items():
        if registry.find(version) is not None:
            registry.tag(version, state=state)
    if record.kind in ("approve", "reject") and registry.find(record.version) is not None:
        registry.tag(record.version, decided_by=record.by)
    set_done(registry, record)


def _set_previous(registry: Registry, record: Record) -> None:
    wanted = record.previous_after
    if wanted != NONE and registry.find(wanted) is None:
        return  # it was deleted, and its alias with it
    now = registry.aliases().get(PREVIOUS, NONE)
    if wanted == now:
        return
    if wanted == NONE:
        registry.client.delete_registered_model_alias(registry.name, PREVIOUS)
    else:
        registry.client.set_registered_model_alias(registry.name, PREVIOUS, wanted)


def _before(past: Sequence[Record], version: str) -> str | None:
    """The champion that `version` replaced when it last became champion by approval."""
    for record in reversed(past):
        if record.kind == "approve" and record.champion_after == version:
            return None if record.champion_before == NONE else record.champion_before
    return None
