"""Search in FAISS, of hashes by Hamming distance and of vectors by cosine.

Every one is compared while that is quick; above, an index finds nearly all. Vectors are searched
on the GPUs where faiss-gpu is installed and sees some.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

Pairs = np.ndarray
"""(m, 2) int64: a row of the first set, a row of the second."""

EXACT_HASHES = 200_000
"""Hashes up to which every one is compared: 2e10 comparisons of a collection with itself, 20 s of
CPU time."""
EXACT_VECTORS = 20_000

ROUNDING = 1e-6
"""By how much the cosine of equal float32 unit vectors may stay below 1."""

_BLOCK = 4096
_RANGED = 1024  # queries at a time whose hits are all in memory before a crowd is cut
_PROBES = 16
# Above EXACT_HASHES: 13 tables of 19 bits, each also looked up with every single bit flipped. That
# finds all pairs up to 25 bits apart for certain, and most further ones up to the radius.
_TABLES, _BITS = 13, 19
_FAR = 40


@dataclass(frozen=True)
class Index:
    """A FAISS index and, for each of its positions, the row of the base it stands for.

    `rows` is None where position and row are one, and holds -1 for what is no longer there.
    """

    faiss: Any
    rows: np.ndarray | None = None

    def base_rows(self, found: np.ndarray) -> np.ndarray:
        """Rows of the base of positions that FAISS found; -1 for none."""
        found = found.astype(np.int64)
        return found if self.rows is None else np.where(found < 0, -1, self.rows[found])


def none() -> Pairs:
    """No pairs."""
    return np.zeros((0, 2), np.int64)


def hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Bits in which the rows of (m, 32) and (m, 32) uint8 differ."""
    return np.bitwise_count(a ^ b).sum(axis=1).astype(np.int64)


def hash_index(base: np.ndarray, exact: int = EXACT_HASHES) -> Any:
    """A FAISS index of (m, 32) uint8 hashes by Hamming distance; exhaustive up to `exact`."""
    import faiss

    index: Any
    if len(base) <= exact:
        index = faiss.IndexBinaryFlat(base.shape[1] * 8)
    else:
        index = faiss.IndexBinaryMultiHash(base.shape[1] * 8, _TABLES, _BITS)
        index.nflip = 1
    index.add(np.ascontiguousarray(base))
    return index


def near_hashes(
    queries: np.ndarray, base: np.ndarray, radius: int, index: Index | None = None
) -> Pairs:
    """Pairs within `radius` bits, of (n, 32) and (m, 32) uint8 hashes.

    All of them up to `EXACT_HASHES` in `base`; above, within 40 bits at most, and those beyond 25
    bits with the recall that docs/benchmarks-dedupe.md gives. Where both are one array a pair may
    be given in one order only. `index` is one of `hash_index(base)`, where there is one already.
    """
    if not len(queries) or not len(base):
        return none()
    exact = len(base) <= EXACT_HASHES
    radius = radius if exact else min(radius, _FAR)
    index = index if index is not None else Index(hash_index(base))
    step = 8 * _BLOCK
    pairs = []
    for start in range(0, len(queries), step):
        block = np.ascontiguousarray(queries[start : start + step])
        # Within one set a pair is looked for from its first row only.
        first = start if queries is base and exact else 0
        # FAISS finds distances below its radius.
        seen = Index(hash_index(base[first:])) if first else index
        limits, _, found = seen.faiss.range_search(block, radius + 1)
        rows = np.repeat(np.arange(len(block)), (limits[1:] - limits[:-1]).astype(np.int64))
        others = seen.base_rows(found)
        there = others >= 0
        pairs.append(np.stack([rows[there] + start, others[there] + first], axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def vector_index(base: np.ndarray, exact: int = EXACT_VECTORS) -> Any:
    """A FAISS index of the unit rows of `base` (m, width) float32 by inner product.

    Exhaustive up to `exact` rows, else inverted lists.
    """
    import faiss

    width = base.shape[1]
    index: Any
    if len(base) <= exact:
        index = faiss.IndexFlatIP(width)
    else:
        lists = max(1, min(int(4 * np.sqrt(len(base))), len(base) // 2))
        quantizer = faiss.IndexFlatIP(width)
        index = faiss.IndexIVFFlat(quantizer, width, lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.niter = 8
        index.nprobe = _PROBES
        step = max(1, len(base) // (40 * lists))
        index.train(np.ascontiguousarray(base[::step]))
    for start in range(0, len(base), 16 * _BLOCK):
        index.add(np.ascontiguousarray(base[start : start + 16 * _BLOCK]))
    return index


def _on_gpus(index: Any) -> Any | None:
    """The index on all GPUs that FAISS can use; None where it can use none."""
    import faiss

    if not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus():
        return None
    options = faiss.GpuMultipleClonerOptions()
    options.shard = True  # each GPU holds a part, so that the memory of all of them counts
    return faiss.index_cpu_to_all_gpus(index, co=options)


Found = tuple[np.ndarray, np.ndarray]
"""Rows of the queries and positions in the index, of equal length."""


def _by_range(index: Any, queries: np.ndarray, least: float, most: int) -> Found:
    """All positions whose cosine is at least `least`; of each query the `most` nearest."""
    # FAISS finds what is above its radius.
    limits, cosine, positions = index.range_search(queries, float(np.nextafter(least, -1)))
    counts = np.diff(limits.astype(np.int64))
    rows = np.repeat(np.arange(len(queries)), counts)
    if counts.max(initial=0) > most:
        order = np.lexsort((positions, -cosine, rows))
        kept = order[(np.arange(len(rows)) - limits[:-1].astype(np.int64)[rows]) < most]
        rows, positions = rows[kept], positions[kept]
    return rows, positions


def _by_neighbours(index: Any, queries: np.ndarray, least: float, most: int) -> Found:
    """The same by the `most` nearest neighbours: indexes on a GPU have no range search."""
    cosine, positions = index.search(queries, min(most, index.ntotal))
    rows, columns = np.nonzero((cosine >= least) & (positions >= 0))
    return rows, positions[rows, columns]


def near_vectors(
    queries: np.ndarray, base: np.ndarray, least: float, most: int, index: Index | None = None
) -> Pairs:
    """Pairs of unit rows whose cosine is at least `least`; at most the `most` nearest of a query.

    `most` bounds a crowd: of a thousand copies of one image each would have all the others.
    `index` is one of `vector_index(base)`, where there is one already.
    """
    if not len(queries) or not len(base):
        return none()
    index = index if index is not None else Index(vector_index(base))
    least -= ROUNDING
    on_gpus = _on_gpus(index.faiss)
    pairs = []
    for start in range(0, len(queries), _RANGED):
        block = np.ascontiguousarray(queries[start : start + _RANGED], np.float32)
        if on_gpus is None:
            rows, positions = _by_range(index.faiss, block, least, most)
        else:
            rows, positions = _by_neighbours(on_gpus, block, least, most)
        others = index.base_rows(positions)
        there = others >= 0
        pairs.append(np.stack([rows[there] + start, others[there]], axis=1))
    return np.concatenate(pairs).astype(np.int64)
