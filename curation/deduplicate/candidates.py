"""Which pairs are worth a look: near hashes, near layouts, near embeddings."""

import numpy as np

from catalog.settings.curation import Deduplicate
from curation.deduplicate.layouts import VIEWS, layouts
from curation.deduplicate.prints import Prints

Pairs = np.ndarray
"""(m, 2) int64: a row of the first set, a row of the second."""

_BLOCK = 4096


def hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Bits in which the rows of (m, 32) and (m, 32) uint8 differ."""
    return np.bitwise_count(a ^ b).sum(axis=1).astype(np.int64)


def near_hashes(queries: np.ndarray, base: np.ndarray, radius: int) -> Pairs:
    """All pairs within `radius` bits, of (n, 32) and (m, 32) uint8."""
    import faiss

    if not len(queries) or not len(base):
        return np.zeros((0, 2), np.int64)
    index = faiss.IndexBinaryFlat(base.shape[1] * 8)
    index.add(np.ascontiguousarray(base))
    # FAISS finds distances below its radius.
    limits, _, found = index.range_search(np.ascontiguousarray(queries), radius + 1)
    rows = np.repeat(np.arange(len(queries)), (limits[1:] - limits[:-1]).astype(np.int64))
    return np.stack([rows, found.astype(np.int64)], axis=1)


def near_vectors(queries: np.ndarray, base: np.ndarray, least: float, most: int) -> Pairs:
    """Pairs of unit rows whose cosine is at least `least`; at most `most` nearest a query."""
    import faiss

    if not len(queries) or not len(base):
        return np.zeros((0, 2), np.int64)
    index = faiss.IndexFlatIP(base.shape[1])
    index.add(np.ascontiguousarray(base, np.float32))
    pairs = []
    for start in range(0, len(queries), _BLOCK):
        block = np.ascontiguousarray(queries[start : start + _BLOCK], np.float32)
        cosine, found = index.search(block, min(most, len(base)))
        row, column = np.nonzero(cosine >= least)
        pairs.append(np.stack([row + start, found[row, column]], axis=1))
    return np.concatenate(pairs)


def _frames(prints: Prints) -> tuple[np.ndarray, np.ndarray]:
    """Frames without border of all, and whole ones of those that have a border; rows of both."""
    bordered = np.flatnonzero(np.any(prints.inner != prints.whole, axis=1))
    frames = np.concatenate([prints.inner, prints.whole[bordered]])
    return frames, np.concatenate([np.arange(len(prints)), bordered])


def near_layouts(queries: Prints, base: Prints, least: float, most: int) -> Pairs:
    """Pairs of which a view of one looks like the other as a whole, with or without border."""
    frames_q, rows_q = _frames(queries)
    frames_b, rows_b = _frames(base)
    plain_q, plain_b = layouts(frames_q), layouts(frames_b)
    pairs = []
    for view in VIEWS:
        pairs.append(near_vectors(layouts(frames_q, view), plain_b, least, most))
        if view != VIEWS[0] and queries is not base:
            pairs.append(near_vectors(layouts(frames_b, view), plain_q, least, most)[:, ::-1])
    found = np.concatenate(pairs)
    found = np.stack([rows_q[found[:, 0]], rows_b[found[:, 1]]], axis=1)
    return np.unique(found, axis=0)


def candidates(queries: Prints, base: Prints, settings: Deduplicate) -> Pairs:
    """Candidate pairs by hashes and layouts, sorted, without repetition."""
    found = [
        near_hashes(queries.phash, base.phash, settings.max_hamming),
        near_hashes(queries.pdq, base.pdq, settings.max_hamming),
        near_layouts(queries, base, settings.min_layout, settings.max_neighbours + 1),
    ]
    return np.unique(np.concatenate(found), axis=0)


def within(pairs: Pairs) -> Pairs:
    """Pairs of one set with itself: each once, the smaller row first, none with itself."""
    ordered = np.sort(pairs, axis=1)
    return np.unique(ordered[ordered[:, 0] < ordered[:, 1]], axis=0)
