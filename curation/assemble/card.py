"""The dataset card: README.md with the front matter of the Hugging Face hub."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from catalog.degradations import Degradation
from catalog.files import atomic_file
from catalog.stage import Counts
from curation.assemble.provenance import Origins

_TEMPLATE = Path(__file__).with_name("card.md.j2")


def write_card(
    folder: Path,
    pairs: Sequence[Mapping[str, Any]],
    splits: Mapping[str, str],
    held: Sequence[Mapping[str, Any]],
    counts: Counts,
    origins: Origins,
    thresholds: str,
    content: str,
) -> None:
    """Write README.md: counts, licences, sources, teachers, thresholds.

    `content` is the identity of the filter for unwanted content, "none" where there was none.
    """
    photos = {pair["photo_id"] for pair in pairs}
    # The terms of all that are shown: mirrored and held-out photos may have no pair themselves.
    shown = photos | {key for pair in pairs if (key := pair["layer_id"])}
    shown |= {row["image_id"] for row in held}
    table = [{"task": task.value, **counts.extra["pairs"][task.value]} for task in Degradation]
    environment = jinja2.Environment(
        autoescape=False,  # noqa: S701 - the card is Markdown
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.from_string(_TEMPLATE.read_text("utf-8")).render(
        pairs=len(pairs),
        photos=len(photos),
        groups=len(splits),
        held=len(held),
        splits=sorted(set(splits.values())),
        tasks=table,
        missing=counts.extra["without_real_pairs"],
        licences=_counted(origins.license(key) for key in shown),
        sources=_counted(origins.source(key) for key in shown),
        teachers=_counted(pair["teacher"] for pair in pairs if pair["origin"] == "real"),
        syntheses=_counted(pair["teacher"] for pair in pairs if pair["origin"] == "synthetic"),
        dropped=sorted(counts.dropped.items()),
        thresholds=thresholds.rstrip(),
        content=None if content == "none" else content.replace("<", ""),
        size=_size(len(pairs)),
    )
    with atomic_file(folder / "README.md") as temporary:
        temporary.write_text(text, "utf-8")


def _counted(values: Any) -> list[tuple[str, int]]:
    # A name from the web must not break the table or smuggle in markup.
    safe = (
        str(value or "unknown").replace("|", "/").replace("<", "").replace("\n", " ")
        for value in values
    )
    return sorted(Counter(safe).items(), key=lambda item: (-item[1], item[0]))


def _size(count: int) -> str:
    for limit, name in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K")):
        if count < limit:
            return name
    return "100K<n<1M" if count < 1_000_000 else "1M<n<10M"
