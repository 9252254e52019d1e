"""Which benchmark images a version has learned from: its scores there say nothing.

A benchmark that was held out of a growing collection, or put into data/benchmark later, may hold
what an earlier version was trained on.
"""

from collections.abc import Set

from catalog import schemas
from catalog.groups import with_versions
from catalog.layout import Layout
from catalog.tables import read_table


def exposed(layout: Layout, known: Set[str] | None, benchmark: Set[str]) -> set[str] | None:
    """Of the image ids `benchmark`, those that are among the `known`, or another version of the
    same photo as deduplication and the comparison with the benchmark tell.

    `known` is what a version has learned from; None where that is not on record, and so the answer.
    """
    if known is None:
        return None
    if layout.duplicates.exists():
        known = with_versions(known, layout.duplicates)
    found = set(known & benchmark)
    if layout.contamination.exists():
        matches = read_table(layout.contamination, schemas.CONTAMINATION).to_pylist()
        found |= {row["benchmark_id"] for row in matches if row["image_id"] in known} & benchmark
    return found
