"""Recall and precision of deduplication by transformation, with same-scene hard negatives.

    python -m benchmarks.dedupe_accuracy --photos FOLDER [--most N]

Every photo is a scene. For each transformation the photos and their copies are searched together;
recall is the share of copies in their photo's group. Hard negatives are pairs of crops of one
photo that overlap by less than half of either; precision is over all pairs of all runs that ended
in one group, theirs included. Crops are searched in one collection with the photos' other crops.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np

from catalog.images import decode
from catalog.settings.curation import Deduplicate
from curation.deduplicate.benchmarks import find_images
from curation.deduplicate.duplicates import find_matches, group
from tests.curation.deduplicate.photos import KEEP_FRAME, MOVE_FRAME, crop, jpeg, prints_of

Truth = Callable[[int, int], bool | None]


def pairs_of(encoded: list[bytes], settings: Deduplicate) -> set[tuple[int, int]]:
    """Pairs of rows that ended in one group."""
    prints = prints_of(encoded)
    groups = group(prints, find_matches(prints, settings), settings)
    return {
        pair
        for members in groups
        for pair in combinations(sorted(member.row for member in members), 2)
    }


def hard_negatives(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two crops of one photo that share 25 to 45 % of their area."""
    shared, side = rng.uniform(0.25, 0.45), rng.uniform(0.5, 0.62)
    shift = side * (1.0 - shared)
    lower = rng.uniform(0, 1 - side)
    boxes = ((0.0, lower), (shift, lower)) if rng.random() < 0.5 else ((lower, 0.0), (lower, shift))
    first, second = (crop(image, x, y, x + side, y + side) for x, y in boxes)
    return first, second


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--most", type=int, default=200)
    parser.add_argument("--local", action="store_true", help="also use local features")
    given = parser.parse_args()
    settings = Deduplicate(local_features_up_to=1_000_000 if given.local else 0)
    photos = [decode(path.read_bytes()) for path in find_images(given.photos)[: given.most]]
    count = len(photos)
    originals = [jpeg(photo, 95) for photo in photos]
    right = wrong = 0
    mistakes: dict[str, int] = defaultdict(int)
    print(
        f"{count} photos\n\n| transformation | recall | false pairs | s |\n"
        "| --- | --- | --- | --- |"
    )
    for name, change in (KEEP_FRAME | MOVE_FRAME).items():
        started = time.perf_counter()
        found = pairs_of(originals + [change(photo) for photo in photos], settings)
        good = {(i, count + i) for i in range(count)} & found
        right += len(good)
        wrong += len(found) - len(good)
        mistakes[name] = len(found) - len(good)
        seconds = time.perf_counter() - started
        print(
            f"| {name} | {len(good) / count:.3f} | {mistakes[name]} | {seconds:.0f} |", flush=True
        )
    rng = np.random.default_rng(0)
    crops = [jpeg(part, 95) for photo in photos for part in hard_negatives(photo, rng)]
    found = pairs_of(crops, settings)
    print(f"\nhard negatives: {count} pairs of crops, {len(found)} grouped")
    wrong += len(found)
    print(f"pair precision over all of it: {right / max(right + wrong, 1):.4f} ({wrong} false)")


if __name__ == "__main__":
    main()
