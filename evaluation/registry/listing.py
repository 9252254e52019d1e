"""Tables of versions and decisions for the terminal.

What people and other programs wrote is shown as it is: to Rich, brackets in it would be markup.
"""

import json
from collections.abc import Mapping

from rich.markup import escape
from rich.style import Style
from rich.table import Table
from rich.text import Text

from catalog.layout import Layout
from catalog.settings import Params
from evaluation.registry.flagging import flag_versions
from evaluation.registry.records import NONE, records, report_state
from evaluation.registry.store import UNDECIDED, Registry, connect


def waiting_table(layout: Layout, params: Params, everything: bool = False) -> Table:
    """Versions that no one decided on yet; all versions with `everything`."""
    registry = connect(layout, params.gate.model_name)
    table = Table(title=escape(f"{registry.name}: versions{'' if everything else ' that wait'}"))
    for column in ("version", "state", "verdict", "difference", "compared with", "report"):
        table.add_column(column, overflow="fold")
    flagged = flag_versions(layout, params)
    with registry.reachable():
        aliases = registry.aliases()
        champion = aliases.get("champion", NONE)
        for version in registry.versions():
            tags = version.tags
            if tags.get("state") not in UNDECIDED and not everything:
                continue
            named = [alias for alias, number in aliases.items() if number == version.number]
            seen = tags.get("champion_seen")
            table.add_row(
                f"{version.number}{' @' + ', @'.join(sorted(named)) if named else ''}",
                escape(tags.get("state", "") + _flag(flagged.get(version.number, []))),
                escape(tags.get("verdict", "not gated yet")),
                _difference(tags),
                "" if seen is None else escape(_against(seen, champion)),
                _report(registry, version.number, tags),
            )
    return table


def decided_table(layout: Layout, params: Params) -> Table:
    """The record of decisions, oldest first."""
    registry = connect(layout, params.gate.model_name)
    table = Table(title=escape(f"{registry.name}: decisions"))
    for column in ("entry", "at", "decision", "version", "champion", "by", "reason", "report"):
        table.add_column(column, overflow="fold")
    with registry.reachable():
        for record in records(registry):
            table.add_row(
                str(record.number),
                record.at,
                record.kind,
                record.version,
                f"{record.champion_before} -> {record.champion_after}",
                escape(record.by),
                escape(record.reason),
                report_state(registry, record),
            )
    return table


def _flag(ids: list[str]) -> str:
    return f"; learned from {len(ids)} taken-down image(s)" if ids else ""


def _difference(tags: Mapping[str, str]) -> str:
    if "difference" not in tags:
        return ""
    found = json.loads(tags["difference"])
    if found["low"] is None:
        return f"{found['estimate']:+.4f}"
    return f"{found['estimate']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"


def _against(seen: str, champion: str) -> str:
    name = "the input" if seen == NONE else f"version {seen}"
    return name if seen == champion else f"{name} (the champion has changed: gate it again)"


def _report(registry: Registry, version: str, tags: Mapping[str, str]) -> Text:
    local = registry.reports / f"{registry.name}-v{version}.html"
    if local.exists():
        return Text(str(local.resolve()), Style(link=local.resolve().as_uri()))
    return Text(tags.get("report_path", ""))
