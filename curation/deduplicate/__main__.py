"""Stage `deduplicate`: groups of duplicates, and what is the benchmark's.

`python -m curation.deduplicate` reads data/hashes.parquet, data/fingerprints.parquet,
data/embeddings.parquet and data/benchmark, and writes data/duplicates.parquet and
data/contamination.parquet.
"""

import hashlib
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalog import images, schemas
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import Params
from catalog.stage import Counts, run_stage
from catalog.tables import map_table, read_table, write_table
from curation import hash as hashing
from curation.deduplicate.benchmarks import fingerprint_benchmarks, places_of
from curation.deduplicate.contamination import contaminated
from curation.deduplicate.duplicates import find_matches, group, rows
from curation.deduplicate.index import Store
from curation.deduplicate.memory import Memory
from curation.deduplicate.prints import make_prints
from networks.embedders import load_embedder
from networks.interfaces import Embedder

VERSION = "4"
"""Part of the memory's key; to be raised by whoever changes how pairs are found or verified."""


def _embedder(layout: Layout, params: Params, identity: str) -> Embedder | None:
    """The embedder whose vectors are used; None where the settings or its weights speak against."""
    wanted = params.deduplicate.use_embeddings
    if wanted is False:
        return None
    embedder = load_embedder(params.embed.embedder)
    if str(embedder.identity) != identity:
        raise UserError(
            f"The vectors in {layout.embeddings} are of {identity}, but the settings name "
            f"{embedder.identity}.",
            "Run `dvc repro embed` first.",
        )
    return embedder if wanted or embedder.identity.trained else None


def _vectors(layout: Layout, ids: pa.ChunkedArray) -> np.ndarray:
    """(n, width) float32 of `ids`, in their order; zeros for an image without a finite one."""
    table = pq.read_table(layout.embeddings)
    width = table.schema.field("embedding").type.list_size
    flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    stored = np.concatenate([flat.reshape(-1, width), np.zeros((1, width), np.float32)])
    stored[~np.isfinite(stored).all(axis=1)] = 0.0  # FAISS would refuse to train with them
    where = {key: row for row, key in enumerate(table["image_id"].to_pylist())}
    return stored[[where.get(key, -1) for key in ids.to_pylist()]]


def _identity(layout: Layout) -> str:
    if not layout.embeddings.exists():
        raise UserError(f"The table {layout.embeddings} does not exist.", "Run `dvc repro embed`.")
    return (pq.read_schema(layout.embeddings).metadata or {}).get(b"identity", b"").decode()


def run(layout: Layout, params: Params) -> Counts:
    """Write DUPLICATES (a row an image of HASHES) and CONTAMINATION (a row a match).

    Raises `UserError` when an input is missing or the embeddings are of another network.
    """
    settings = params.deduplicate
    identity = _identity(layout)
    embedder = _embedder(layout, params, identity)
    hashes = read_table(layout.hashes, schemas.HASHES)
    scratch = layout.scratch("deduplicate")
    # Thumbnails of a million images do not fit into memory, and few are looked at.
    fingerprints = map_table(layout.fingerprints, schemas.FINGERPRINTS, scratch)
    vectors = _vectors(layout, hashes["image_id"]) if embedder else None
    prints = make_prints(hashes, fingerprints, vectors)
    depends = (VERSION, hashing.VERSION, images.VERSION, params.hash.thumbnail_side)
    own = (settings.model_dump_json(), identity if embedder else "")
    key = "\n".join(map(str, (*depends, *own)))
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    memory, store = Memory(scratch, digest), Store(scratch, digest)
    groups = group(prints, find_matches(prints, settings, memory, store), settings)
    duplicates = rows(prints, groups, settings)
    places = places_of(layout, settings)
    benchmark, names = fingerprint_benchmarks(places, params.hash.thumbnail_side, embedder)
    matched = contaminated(prints, benchmark, names, settings)
    write_table(layout.duplicates, duplicates, schemas.DUPLICATES)
    write_table(layout.contamination, matched, schemas.CONTAMINATION)
    relations = Counter(str(row["relation"]) for row in duplicates)
    dropped = Counter({"copy": relations["copy"], "in-benchmark": len(matched)})
    extra = {
        "groups": len(groups),
        "keepers": relations["keeper"],
        "variants": relations["variant"],
        "benchmark_images": len(names),
        "benchmark_matches": dict(Counter(str(row["reason"]) for row in matched)),
        "by_embedding": embedder is not None,
    }
    return Counts(len(prints), relations["keeper"] + relations["variant"], dropped, extra)


def main() -> None:
    """Run the stage in the current work tree."""
    run_stage("deduplicate", run)


if __name__ == "__main__":
    main()
