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
from curation.screen.rules import REFUSED, RULES, what_decided

SIDE = 200
MOST_PER_GROUP = 60

_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Screening</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><style>
body{font:14px system-ui,sans-serif;margin:1rem;color:#222;background:#fff}
h2{margin:1.5rem 0 .2rem;font-size:18px}p{margin:0 0 .6rem;color:#555}
nav{display:flex;flex-wrap:wrap;gap:.3rem 1rem}
.g{display:grid;grid-template-columns:repeat(auto-fill,minmax(160px,1fr));gap:10px}
figure{margin:0;min-width:0}img,.n{display:block;width:100%;height:150px;object-fit:contain;
background:#eee}
figcaption{font-size:12px;overflow-wrap:anywhere}
bdi{display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:3;overflow:hidden}
</style><h1>Screening</h1>
<p>The number decided: the presence of the strongest degradation, 1 (extreme) to 5 (none); for
traces its severity; for marks and forms how likely they are, 0 to 1; else what is named.</p>
"""


_NO_PICTURE = '<div class="n"></div>'


class ContactSheet:
    """Collects thumbnails by verdict and reason; at most `MOST_PER_GROUP` of each are shown."""

    def __init__(self) -> None:
        self._groups: dict[str, list[str]] = defaultdict(list)
        self._counts: dict[str, int] = defaultdict(int)
        self._reasons: dict[str, str] = {}

    def shows(self, row: Mapping[str, Any]) -> bool:
        """Whether the next image with such a row would be shown, not only counted."""
        return len(self._groups[_group(row)]) < MOST_PER_GROUP

    def add(self, name: str, image: Rgb | None, row: Mapping[str, Any]) -> None:
        """One image with its row of SCREENING; `image` is None where it could not be decoded."""
        group = _group(row)
        self._counts[group] += 1
        if len(self._groups[group]) >= MOST_PER_GROUP:
            return
        said = what_decided(row)
        title = html.escape(name)
        picture = f'<img src="{_thumbnail(image)}" alt="">' if image is not None else _NO_PICTURE
        self._groups[group].append(
            # A name in letters that run from right to left must not turn what stands beside it.
            f'<figure>{picture}<figcaption><bdi title="{title}">{title}</bdi>{html.escape(said)}'
            "</figcaption></figure>"
        )
        self._reasons[group] = row["reason"]

    def write(self, path: Path) -> None:
        """Write the sheet, whole or not at all."""
        with atomic_file(path) as temporary:
            temporary.write_text(_HEAD + "".join(self._sections()), "utf-8")

    def _sections(self) -> Iterable[str]:
        groups = sorted(self._groups)
        links = (
            f'<a href="#{number}">{html.escape(group)} ({self._counts[group]})</a>'
            for number, group in enumerate(groups)
        )
        yield f"<nav>{''.join(links)}</nav>"
        for number, group in enumerate(groups):
            shown, count = len(self._groups[group]), self._counts[group]
            more = f", {shown} shown" if shown < count else ""
            yield f'<h2 id="{number}">{html.escape(group)} ({count}{more})</h2>'
            if why := (RULES | REFUSED).get(self._reasons[group]):
                yield f"<p>{html.escape(why)}</p>"
            yield f'<div class="g">{"".join(self._groups[group])}</div>'


def _group(row: Mapping[str, Any]) -> str:
    named = row.get("degradation") if row["verdict"] == "degraded" else row["reason"]
    return "clean" if row["verdict"] == "clean" else f"{row['verdict']}: {named}"


def _thumbnail(image: Rgb) -> str:
    small = Image.fromarray(image)
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
