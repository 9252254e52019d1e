"""A small work tree whose images are screened and grouped already."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data
from skimage.transform import resize

from catalog import images, schemas
from catalog.images import Rgb
from catalog.layout import Layout
from catalog.shards import ShardWriter
from catalog.tables import write_table
from networks.degraders import load_degrader

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "retina", "immunohistochemistry")


def picture(number: int, height: int = 96, width: int = 128) -> Rgb:
    """One of many different parts of photos that scikit-image ships."""
    whole = getattr(data, PHOTOS[number % len(PHOTOS)])()
    step = number // len(PHOTOS) * 40
    part = whole[step : step + 240, step : step + 320, :3]
    return (resize(part, (height, width), anti_aliasing=True) * 255).astype(np.uint8)


@dataclass
class Tree:
    """Tables of the stages before; `write` puts them in place."""

    layout: Layout
    screened: list[dict[str, Any]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    matches: list[dict[str, Any]] = field(default_factory=list)
    stored: list[tuple[bytes, dict[str, str | None]]] = field(default_factory=list)

    def add(
        self,
        image: Rgb,
        verdict: str,
        degradation: str | None = None,
        group: str | None = None,
        relation: str = "keeper",
        **provenance: str,
    ) -> str:
        """Add one image; return its id."""
        encoded = images.encode_png(image)
        key = images.image_id(encoded)
        self.stored.append((encoded, provenance))
        self.screened.append(
            {"image_id": key, "degradation": degradation, "also": [], "verdict": verdict}
        )
        self.groups.append(
            {
                "image_id": key,
                "group": group or key,
                "keeper": relation == "keeper",
                "relation": relation,
            }
        )
        return key

    def write(self) -> "Tree":
        """Write the shards and tables."""
        with ShardWriter(self.layout.raw / "snapshot") as writer:
            for encoded, provenance in self.stored:
                writer.add(encoded, images.read_header(encoded), provenance)
        write_table(self.layout.screening, self.screened, schemas.SCREENING)
        write_table(self.layout.duplicates, self.groups, schemas.DUPLICATES)
        write_table(self.layout.contamination, self.matches, schemas.CONTAMINATION)
        return self


REAL = ("noise", "low-light", "haze", "flare", "noise", "low-light", "haze", "noise")


@pytest.fixture
def empty_tree(tmp_path: Path) -> Tree:
    return Tree(Layout(tmp_path))


@pytest.fixture
def tree(empty_tree: Tree) -> Tree:
    """Six clean photos, eight degraded ones of four degradations, a copy, a benchmark match."""
    for number in range(6):
        licence = "CC-BY-4.0" if number % 2 else "CC0-1.0"
        empty_tree.add(picture(number), "clean", license=licence, source="folder")
    for number, degradation in enumerate(REAL):
        image = load_degrader(degradation).degrade(
            picture(10 + number), 2.0, np.random.default_rng(number)
        )
        empty_tree.add(image, "degraded", degradation, license="CC0-1.0", source="web")
    first = empty_tree.screened[6]["image_id"]
    empty_tree.add(picture(20), "degraded", "noise", group=first, relation="copy")
    match = empty_tree.add(picture(21), "clean")
    empty_tree.matches.append({"image_id": match, "benchmark_id": "b", "benchmark_name": "bench"})
    empty_tree.add(picture(22), "drop")
    return empty_tree.write()
