"""README.md of an exported dataset: front matter by which the hub finds the splits."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from catalog.files import atomic_file
from curation.export.formats import Layout
from curation.export.samples import FACTS, HELD_OUT

_TEMPLATE = Path(__file__).with_name("card.md.j2")
_FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_HUB_NAMES = {HELD_OUT: "test"}
"""The hub knows train, validation and test."""


def write_card(folder: Path, dataset: Path, form: Layout, counts: Mapping[str, int]) -> None:
    """Write README.md: how to load it, then the assembled dataset's own card."""
    body = ""
    if (dataset / "README.md").exists():
        body = _FRONT.sub("", (dataset / "README.md").read_text("utf-8")).strip()
    environment = jinja2.Environment(
        autoescape=False,  # noqa: S701 - the card is Markdown
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    splits = [
        {"name": _HUB_NAMES.get(split, split), "files": form.files(split), "count": count}
        for split, count in counts.items()
        if count
    ]
    text = environment.from_string(_TEMPLATE.read_text("utf-8")).render(
        form=form.name,
        facts=FACTS,
        splits=splits,
        configs=_configs(splits),
        body=body,
    )
    with atomic_file(folder / "README.md") as temporary:
        temporary.write_text(text, "utf-8")


def _configs(splits: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Held-out images have no clean side, so they are a configuration of their own."""
    held = [one for one in splits if one["name"] == _HUB_NAMES[HELD_OUT]]
    pairs = [one for one in splits if one not in held]
    found = [
        {"name": "pairs", "splits": pairs, "sides": ("degraded", "clean")},
        {"name": "held-out", "splits": held, "sides": ("degraded",)},
    ]
    return [config for config in found if config["splits"]]
