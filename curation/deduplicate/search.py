"""Search in FAISS, of hashes by Hamming distance and of vectors by cosine.

Every one is compared while that is quick; above, an index finds nearly all.
"""

from typing import Any

import numpy as np

Pairs = np.ndarray
"""(m, 2) int64: a row of the first set, a row of the second."""

EXACT_HASHES = 200_000
"""Hashes up to which every one is compared: 2e10 comparisons, under half a minute on two cores."""
EXACT_VECTORS = 20_000

_BLOCK = 4096
_PROBES = 16
# Above EXACT_HASHES: 12 tables of 20 bits, each also looked up with every single bit flipped. That
# finds all pairs up to 23 bits apart for certain, and most further ones up to the radius.
_TABLES, _BITS = 12, 20
_FAR = 40


def none() -> Pairs:
    """No pairs."""
    return np.zeros((0, 2), np.int64)


def hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Bits in which the rows of (m, 32) and (m, 32) uint8 differ."""
    return np.bitwise_count(a ^ b).sum(axis=1).astype(np.int64)


def near_hashes(queries: np.ndarray, base: np.ndarray, radius: int) -> Pairs:
    """Pairs within `radius` bits, of (n, 32) and (m, 32) uint8 hashes.

    All of them up to `EXACT_HASHES` in `base`; above, within 40 bits at most, and those beyond 23
    bits with the recall that docs/benchmarks-dedupe.md gives.
    """
    import faiss

    if not len(queries) or not len(base):
        return none()
    base = np.ascontiguousarray(base)
    if len(base) <= EXACT_HASHES:
        index: Any = faiss.IndexBinaryFlat(base.shape[1] * 8)
    else:
        index = faiss.IndexBinaryMultiHash(base.shape[1] * 8, _TABLES, _BITS)
        index.nflip = 1
        radius = min(radius, _FAR)
    index.add(base)
    pairs = []
    for start in range(0, len(queries), 8 * _BLOCK):
        block = np.ascontiguousarray(queries[start : start + 8 * _BLOCK])
        # FAISS finds distances below its radius.
        limits, _, found = index.range_search(block, radius + 1)
        rows = np.repeat(np.arange(len(block)), (limits[1:] - limits[:-1]).astype(np.int64))
        pairs.append(np.stack([rows + start, found.astype(np.int64)], axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def vector_index(base: np.ndarray) -> Any:
    """A FAISS index of the unit rows of `base` (m, width) float32 by inner product."""
    import faiss

    width = base.shape[1]
    index: Any
    if len(base) <= EXACT_VECTORS:
        index = faiss.IndexFlatIP(width)
    else:
        lists = int(4 * np.sqrt(len(base)))
        quantizer = faiss.IndexFlatIP(width)
        index = faiss.IndexIVFFlat(quantizer, width, lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.niter = 8
        index.nprobe = _PROBES
        step = max(1, len(base) // (50 * lists))
        index.train(np.ascontiguousarray(base[::step]))
    for start in range(0, len(base), 16 * _BLOCK):
        index.add(np.ascontiguousarray(base[start : start + 16 * _BLOCK]))
    return index


def near_vectors(
    queries: np.ndarray, base: np.ndarray, least: float, most: int, index: Any = None
) -> Pairs:
    """Pairs of unit rows whose cosine is at least `least`; at most the `most` nearest of a query.

    `index` is one made by `vector_index(base)`, where there is one already.
    """
    if not len(queries) or not len(base):
        return none()
    index = index if index is not None else vector_index(base)
    pairs = []
    for start in range(0, len(queries), _BLOCK):
        block = np.ascontiguousarray(queries[start : start + _BLOCK], np.float32)
        cosine, found = index.search(block, min(most, len(base)))
        row, column = np.nonzero((cosine >= least) & (found >= 0))
        pairs.append(np.stack([row + start, found[row, column]], axis=1))
    return np.concatenate(pairs).astype(np.int64)
