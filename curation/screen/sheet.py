"""A contact sheet: what was kept and what was dropped, by reason, as one HTML file."""

import base64
import html
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from catalog.files import atomic_file
from catalog.images import Rgb

SIDE = 200
MOST_PER_GROUP = 60

_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Screening</title><style>
body{font:14px system-ui,sans-serif;margin:1.5rem;color:#222}h2{margin:1.5rem 0 .5rem}
.g{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:10px}
figure{margin:0}img{width:100%;height:150px;object-fit:contain;background:#eee}
figcaption{font-size:12px;overflow-wrap:anywhere}</style><h1>Screening</h1>
"""


class ContactSheet:
    """Collects thumbnails by verdict and reason; at most `MOST_PER_GROUP` of each are shown."""

    def __init__(self) -> None:
        self._groups: dict[str, list[str]] = defaultdict(list)
        self._counts: dict[str, int] = defaultdict(int)

    def shows(self, row: Mapping[str, Any]) -> bool:
        """Whether the next image with such a row would be shown, not only counted."""
        return len(self._groups[_group(row)]) < MOST_PER_GROUP

    def add(self, name: str, image: Rgb | None, row: Mapping[str, Any]) -> None:
        """One image with its row of SCREENING; `image` is None where it could not be decoded."""
        group = _group(row)
        self._counts[group] += 1
        if len(self._groups[group]) >= MOST_PER_GROUP:
            return
        presence = row.get("scores", {}).get(f"presence/{row.get('degradation')}")
        said = f"{row['degradation']} {presence:.1f}" if presence else ""
        caption = html.escape(f"{name} {said}".strip())
        picture = f'<img src="{_thumbnail(image)}" alt="{caption}">' if image is not None else ""
        self._groups[group].append(f"<figure>{picture}<figcaption>{caption}</figcaption></figure>")

    def write(self, path: Path) -> None:
        """Write the sheet, whole or not at all."""
        with atomic_file(path) as temporary:
            temporary.write_text(_HEAD + "".join(self._sections()), "utf-8")

    def _sections(self) -> Iterable[str]:
        for group in sorted(self._groups):
            shown, count = len(self._groups[group]), self._counts[group]
            more = f", {shown} shown" if shown < count else ""
            title = f"<h2>{html.escape(group)} ({count}{more})</h2>"
            yield f'{title}<div class="g">{"".join(self._groups[group])}</div>'


def _group(row: Mapping[str, Any]) -> str:
    named = row.get("degradation") if row["verdict"] == "degraded" else row["reason"]
    return f"{row['verdict']}: {named}"


def _thumbnail(image: Rgb) -> str:
    small = Image.fromarray(image)
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
