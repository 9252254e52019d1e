"""Which benchmark images a version has learned from: its scores there say nothing.

A benchmark that was held out of a growing collection, or put into data/benchmark later, may hold
what an earlier version was trained on.
"""

from collections.abc import Set

from catalog import schemas
from catalog.groups import with_versions
from catalog.layout import Layout
from catalog.tables import read_table
from evaluation.registry.flagging import learned
from evaluation.registry.store import Registry, Version


def exposed(registry: Registry, version: Version, benchmark: Set[str]) -> set[str] | None:
    """Of the image ids `benchmark`, those that `version` learned from, or another version of the
    same photo as deduplication and the comparison with the benchmark tell; None where what it
    learned from is not on record.
    """
    known = learned(registry, version.run_id)
    return None if known is None else _seen(registry.layout, known, benchmark)


def _seen(layout: Layout, known: set[str], benchmark: Set[str]) -> set[str]:
    if layout.duplicates.exists():
        known = with_versions(known, layout.duplicates)
    found = known & benchmark
    if layout.contamination.exists():
        matches = read_table(layout.contamination, schemas.CONTAMINATION).to_pylist()
        found |= {row["benchmark_id"] for row in matches if row["image_id"] in known} & benchmark
    return found
