"""What the embedder adds to hashes: candidate pairs by transformation, before verification.

    python -m benchmarks.embedder_recall --photos FOLDER [--half tune|report|all] [--embedder NAME]

The photos and their copies are one collection. For each transformation, the share of copies whose
pair with their photo is a candidate by hash (pHash or PDQ), by layout, by embedding, and by any of
them without and with the embedding; and how many wrong pairs each makes candidates. Candidates
are verified by alignment afterwards, so a wrong one costs time, not precision.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.dedupe_accuracy import HALVES, changes, hard_negatives
from catalog.images import decode
from catalog.settings.curation import Deduplicate
from curation.deduplicate.benchmarks import find_images
from curation.deduplicate.candidates import near_layouts, within
from curation.deduplicate.search import Pairs, near_hashes
from networks.embedders import load_embedder
from tests.curation.deduplicate.photos import jpeg, prints_of


def keys(pairs: Pairs, count: int) -> set[int]:
    """A pair of rows as one number."""
    ordered = within(pairs)
    return set((ordered[:, 0] * count + ordered[:, 1]).tolist())


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--half", choices=sorted(HALVES), default="report")
    parser.add_argument("--most", type=int, default=10_000)
    parser.add_argument("--embedder", default="mendline-clip")
    parser.add_argument("--only", default="", help="transformations that hold this word")
    parser.add_argument("--cosines", type=float, nargs="*", default=[], help="further thresholds")
    given = parser.parse_args()
    settings = Deduplicate()
    embedder = load_embedder(given.embedder)
    paths = find_images(given.photos)[HALVES[given.half]][: given.most]
    photos = [decode(path.read_bytes()) for path in paths]
    count = len(photos)
    originals = [jpeg(photo, 95) for photo in photos]
    vectors = embedder.embed_images([decode(data) for data in originals])
    cosines = [settings.min_cosine, *given.cosines]
    print(f"{count} photos, half {given.half}, {embedder.identity}, cosines {cosines}\n")
    print(
        "| transformation | hash | layout | embedding | hash or layout | any "
        "| wrong: hash or layout, embedding |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    rng = np.random.default_rng(0)
    pairs = [hard_negatives(photo, rng) for photo in photos]
    cases = [
        (name, [change(p, i) for i, p in enumerate(photos)])
        for _, name, change in changes()
        if given.only in name
    ]
    for name, copies in [*cases, ("hard negatives", None)]:
        if copies is None:
            encoded = [jpeg(side[0], 95) for side in pairs] + [jpeg(side[1], 95) for side in pairs]
            first = embedder.embed_images([side[0] for side in pairs])
            second = embedder.embed_images([side[1] for side in pairs])
        else:
            encoded = originals + copies
            first, second = vectors, embedder.embed_images([decode(data) for data in copies])
        prints = prints_of(encoded)
        total = 2 * count
        right = {i * total + count + i for i in range(count)}
        radius, most = settings.max_hamming, settings.max_neighbours + 1
        by_hash = keys(near_hashes(prints.phash, prints.phash, radius), total) | keys(
            near_hashes(prints.pdq, prints.pdq, radius), total
        )
        by_layout = keys(near_layouts(prints, prints, settings.min_layout, most), total)
        both = np.concatenate([first, second])
        similar = both @ both.T
        shown = []
        for cosine in cosines:
            rows, columns = np.nonzero(similar >= cosine)
            by_embedding = keys(np.stack([rows, columns], axis=1), total)
            found = (by_hash, by_layout, by_embedding, by_hash | by_layout)
            found = (*found, found[3] | by_embedding)
            shares = [len(right & some) / count for some in found]
            wrong = [len(some - right) for some in (found[3], by_embedding)]
            shown.append(
                " | ".join(f"{share:.3f}" for share in shares) + f" | {wrong[0]}, {wrong[1]}"
            )
        print(f"| {name} | " + " // ".join(shown) + " |", flush=True)


if __name__ == "__main__":
    main()
