"""README.md of an exported dataset: front matter by which the hub finds the splits."""

import re
from collections.abc import Mapping
from pathlib import Path

import jinja2

from catalog.files import atomic_file
from curation.export.formats import Layout
from curation.export.samples import HELD_OUT

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
    text = environment.from_string(_TEMPLATE.read_text("utf-8")).render(
        form=form.name,
        splits=[
            {"name": _HUB_NAMES.get(split, split), "files": form.files(split), "count": count}
            for split, count in counts.items()
            if count
        ],
        body=body,
    )
    with atomic_file(folder / "README.md") as temporary:
        temporary.write_text(text, "utf-8")
