"""Stage `deduplicate`: groups of duplicates, and what is the benchmark's.

`python -m curation.deduplicate` reads data/hashes.parquet, data/fingerprints.parquet,
data/embeddings.parquet and data/benchmark, and writes data/duplicates.parquet and
data/contamination.parquet.
"""

from collections import Counter
from pathlib import Path

from catalog import schemas
from catalog.layout import Layout
from catalog.settings import Params
from catalog.stage import Counts, run_stage
from catalog.tables import read_table, write_table
from curation.deduplicate.benchmarks import fingerprint_benchmarks
from curation.deduplicate.contamination import contaminated
from curation.deduplicate.duplicates import find_matches, group, rows
from curation.deduplicate.prints import make_prints


def run(layout: Layout, params: Params) -> Counts:
    """Write DUPLICATES (a row an image of HASHES) and CONTAMINATION (a row a match)."""
    settings = params.deduplicate
    hashes = read_table(layout.hashes, schemas.HASHES)
    prints = make_prints(hashes, read_table(layout.fingerprints, schemas.FINGERPRINTS))
    groups = group(prints, find_matches(prints, settings), settings)
    duplicates = rows(prints, groups)
    write_table(layout.duplicates, duplicates, schemas.DUPLICATES)
    folders = [layout.benchmark] if layout.benchmark.is_dir() else []
    folders += [layout.root / Path(name) for name in settings.benchmarks]
    *tables, names = fingerprint_benchmarks(folders, params.hash.thumbnail_side)
    matched = contaminated(prints, make_prints(*tables), names, settings)
    write_table(layout.contamination, matched, schemas.CONTAMINATION)
    relations = Counter(str(row["relation"]) for row in duplicates)
    dropped = Counter({"copy": relations["copy"], "in-benchmark": len(matched)})
    extra = {
        "groups": len(groups),
        "keepers": relations["keeper"],
        "variants": relations["variant"],
        "benchmark_images": len(names),
        "benchmark_matches": dict(Counter(str(row["reason"]) for row in matched)),
    }
    return Counts(len(prints), relations["keeper"] + relations["variant"], dropped, extra)


def main() -> None:
    """Run the stage in the current work tree."""
    run_stage("deduplicate", run)


if __name__ == "__main__":
    main()
