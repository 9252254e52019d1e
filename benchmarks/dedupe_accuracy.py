"""Recall, precision and outcome of deduplication by transformation, with hard negatives.

    python -m benchmarks.dedupe_accuracy --photos FOLDER [--half tune|report|all] [--local]
        [--embedder NAME]

Every photo is a scene. For each transformation the photos and their copies are one collection.
Recall is the share of copies in their photo's group; a copy in it goes or stays as a variant, and
both shares are given. Hard negatives are pairs of crops of one photo that share less than half of
their area, alone and together with their photo. Precision is over all pairs of all collections
that ended in one group. Thresholds were chosen on the half `tune` (every second photo); figures
are those of `report`, the other half.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from catalog.images import decode
from catalog.settings.curation import Deduplicate
from curation.deduplicate.benchmarks import find_images
from curation.deduplicate.duplicates import find_matches, group
from networks.degraders import load_degrader
from networks.embedders import load_embedder
from networks.interfaces import Embedder
from tests.curation.deduplicate.photos import (
    DEGRADED,
    KEEP_FRAME,
    MOVE_FRAME,
    OFF_CENTRE,
    crop,
    jpeg,
    prints_of,
)

Rgb = np.ndarray
HALVES = {"tune": slice(0, None, 2), "report": slice(1, None, 2), "all": slice(None)}
KINDS = (
    "blur",
    "compression",
    "moire",
    "low-light",
    "noise",
    "flare",
    "reflection",
    "haze",
    "rain",
)
SEVERITY = 2.0
"""Of the degraders: 5 is hardly visible, 1 the worst."""


@dataclass(frozen=True)
class Embeddings:
    """An embedder that remembers the vectors of the images it was made with."""

    embedder: Embedder
    known: dict[bytes, np.ndarray]

    def __call__(self, encoded: list[bytes]) -> np.ndarray:
        """(n, width) float32."""
        new = [data for data in encoded if data not in self.known]
        vectors = self.embedder.embed_images([decode(data) for data in new]) if new else []
        found = self.known | dict(zip(new, vectors, strict=True))
        return np.stack([found[data] for data in encoded])


def relations(
    encoded: list[bytes], settings: Deduplicate, embeddings: Embeddings | None = None
) -> dict[tuple[int, int], str]:
    """Pairs of rows that ended in one group, each with how the later relates to its keeper.

    Of a photo and its copy, in that order, the one that is not the keeper counts.
    """
    prints = prints_of(encoded)
    if embeddings is not None:
        prints = replace(prints, embedding=embeddings(encoded))
    found = {}
    for members in group(prints, find_matches(prints, settings), settings):
        for one, two in combinations(members, 2):
            pair = min(one.row, two.row), max(one.row, two.row)
            found[pair] = two.relation if one.relation == "keeper" else "copy"
    return found


def changes() -> Iterator[tuple[str, str, Callable[[Rgb, int], bytes]]]:
    """What becomes of a copy (goes, stays), the name, and the transformation of photo and number.

    "either" is a mild change of tone, where both outcomes are right.
    """
    for name, change in (KEEP_FRAME | MOVE_FRAME | OFF_CENTRE | DEGRADED).items():
        wanted = "goes"
        if name.startswith("gamma"):
            wanted = "either"
        elif name in DEGRADED or name.startswith(("blur", "noise")):
            wanted = "stays"
        yield wanted, name, lambda photo, _, change=change: change(photo)
    for kind in KINDS:
        degrader = load_degrader(kind)

        def degrade(photo: Rgb, number: int, degrader=degrader) -> bytes:  # type: ignore[no-untyped-def]
            return jpeg(degrader.degrade(photo, SEVERITY, np.random.default_rng(number)), 92)

        yield "stays", f"{kind} at {SEVERITY:.0f}", degrade


def hard_negatives(image: Rgb, rng: np.random.Generator) -> tuple[Rgb, Rgb]:
    """Two crops of one photo that share 25 to 49 % of their area."""
    shared, side = rng.uniform(0.25, 0.49), rng.uniform(0.5, 0.62)
    shift = side * (1.0 - shared)
    lower = rng.uniform(0, 1 - side)
    boxes = ((0.0, lower), (shift, lower)) if rng.random() < 0.5 else ((lower, 0.0), (lower, shift))
    first, second = (crop(image, x, y, x + side, y + side) for x, y in boxes)
    return first, second


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--most", type=int, default=10_000, help="photos of the half")
    parser.add_argument("--half", choices=sorted(HALVES), default="report")
    parser.add_argument("--local", action="store_true", help="also use local features")
    parser.add_argument("--embedder", default="mendline-clip", help="none: hash and layout alone")
    parser.add_argument("--only", default="", help="transformations that hold this word")
    given = parser.parse_args()
    settings = Deduplicate(local_features_up_to=1_000_000 if given.local else 0)
    paths = find_images(given.photos)[HALVES[given.half]][: given.most]
    photos = [decode(path.read_bytes()) for path in paths]
    count = len(photos)
    originals = [jpeg(photo, 95) for photo in photos]
    embeddings = None
    if given.embedder != "none":
        embedder = load_embedder(given.embedder)
        known = dict(
            zip(originals, embedder.embed_images([decode(data) for data in originals]), strict=True)
        )
        embeddings = Embeddings(embedder, known)
    right = wrong = 0
    print(
        f"{count} photos, half {given.half}\n\n"
        "| transformation | recall | goes | stays | should | false pairs | s |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    for wanted, name, change in changes():
        if given.only not in name:
            continue
        started = time.perf_counter()
        copies = [change(photo, number) for number, photo in enumerate(photos)]
        found = relations(originals + copies, settings, embeddings)
        good = [found[pair] for i in range(count) if (pair := (i, count + i)) in found]
        false = len(found) - len(good)
        right, wrong = right + len(good), wrong + false
        print(
            f"| {name} | {len(good) / count:.3f} | {good.count('copy') / count:.2f} "
            f"| {good.count('variant') / count:.2f} | {wanted} | {false} "
            f"| {time.perf_counter() - started:.0f} |",
            flush=True,
        )
    rng = np.random.default_rng(0)
    crops = [jpeg(part, 95) for photo in photos for part in hard_negatives(photo, rng)]
    for what, images in (("alone", crops), ("with their photos", crops + originals)):
        false = len(relations(images, settings, embeddings))
        wrong += false
        print(f"\nhard negatives {what}: {count} pairs of crops, {false} false pairs", flush=True)
    print(f"\npair precision over all of it: {right / max(right + wrong, 1):.4f} ({wrong} false)")


if __name__ == "__main__":
    main()
