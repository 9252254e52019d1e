"""Recall and false matches of decontamination: versions of benchmark photos among others.

    python -m benchmarks.dedupe_contamination --photos FOLDER [--half tune|report|all]
        [--most N] [--every N] [--embedder NAME|none]

Every N-th photo is in the benchmark, blurred (sigma 2) and cropped off the centre. All photos are
collected in several versions, so a match is right when its photo is in the benchmark, and it must
name that photo's benchmark image.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.dedupe_accuracy import HALVES
from catalog.images import decode
from catalog.settings.curation import Deduplicate
from curation.deduplicate.benchmarks import find_images
from curation.deduplicate.contamination import contaminated
from networks.embedders import load_embedder
from tests.curation.deduplicate.photos import (
    blur,
    crop,
    dark,
    jpeg,
    noise,
    pad,
    prints_of,
    resize,
    text,
    turn,
)

Rgb = np.ndarray
VERSIONS: dict[str, Callable[[Rgb], bytes]] = {
    "quality 60": lambda image: jpeg(image, 60),
    "0.6 of the size": lambda image: jpeg(resize(image, 0.6), 80),
    "mirror with text": lambda image: jpeg(text(image)[:, ::-1]),
    "crop of 60 %, another corner": lambda image: jpeg(crop(image, 0.3, 0.25, 1, 1), 85),
    "dark": lambda image: jpeg(dark(image)),
    "noise 25 and a border": lambda image: jpeg(pad(noise(image, 25), 0.1, 255)),
    "turn 4 degrees, quality 30": lambda image: jpeg(turn(image, 4), 30),
}


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--half", choices=sorted(HALVES), default="report")
    parser.add_argument("--most", type=int, default=10_000, help="photos of the half")
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--embedder", default="mendline-clip")
    given = parser.parse_args()
    paths = find_images(given.photos)[HALVES[given.half]][: given.most]
    photos = [decode(path.read_bytes()) for path in paths]
    inside = list(range(0, len(photos), given.every))
    images = [jpeg(blur(crop(photos[row], 0.0, 0.05, 0.8, 0.9), 2), 90) for row in inside]
    benchmark = prints_of(images)
    embedder = None if given.embedder == "none" else load_embedder(given.embedder)
    if embedder is not None:
        vectors = embedder.embed_images([decode(data) for data in images])
        benchmark = replace(benchmark, embedding=vectors)
    print(f"{len(photos)} photos, {len(inside)} of them in the benchmark\n")
    print("| collected as | found | false matches | s of CPU |\n| --- | --- | --- | --- |")
    for name, change in VERSIONS.items():
        started = time.process_time()
        encoded = [change(photo) for photo in photos]
        collected = prints_of(encoded)
        if embedder is not None:
            vectors = embedder.embed_images([decode(data) for data in encoded])
            collected = replace(collected, embedding=vectors)
        names = [str(row) for row in inside]
        rows = contaminated(collected, benchmark, names, Deduplicate())
        where = {key: str(row) for row, key in enumerate(collected.ids)}
        right = sum(row["benchmark_name"] == where[row["image_id"]] for row in rows)
        print(
            f"| {name} | {right} of {len(inside)} | {len(rows) - right} "
            f"| {time.process_time() - started:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
