"""Which pairs are worth a look: near hashes, near layouts, near embeddings."""

from collections.abc import Iterator

import numpy as np

from catalog.settings.curation import Deduplicate
from curation.deduplicate.layouts import VIEWS, layouts
from curation.deduplicate.prints import Prints
from curation.deduplicate.search import Pairs, near_hashes, near_vectors, none, vector_index


def _frames(prints: Prints) -> tuple[np.ndarray, np.ndarray]:
    """Frames without border of all, and whole ones of those that have a border; rows of both."""
    bordered = np.flatnonzero(np.any(prints.inner != prints.whole, axis=1))
    frames = np.concatenate([prints.inner, prints.whole[bordered]])
    return frames, np.concatenate([np.arange(len(prints)), bordered])


def near_layouts(queries: Prints, base: Prints, least: float, most: int) -> Pairs:
    """Pairs of which a view of one looks like the other as a whole, with or without border."""
    if not len(queries) or not len(base):
        return none()
    frames_q, rows_q = _frames(queries)
    frames_b, rows_b = _frames(base)
    plain_q, plain_b = layouts(frames_q), layouts(frames_b)

    def views() -> Iterator[Pairs]:
        index = vector_index(plain_b)
        for view in VIEWS:
            yield near_vectors(layouts(frames_q, view), plain_b, least, most, index)
        if queries is not base:
            index = vector_index(plain_q)
            for view in VIEWS[1:]:
                yield near_vectors(layouts(frames_b, view), plain_q, least, most, index)[:, ::-1]

    found = np.concatenate(list(views()))
    return np.unique(np.stack([rows_q[found[:, 0]], rows_b[found[:, 1]]], axis=1), axis=0)


def candidates(queries: Prints, base: Prints, settings: Deduplicate) -> Pairs:
    """Candidate pairs by hashes, layouts and, where both have them, embeddings; sorted."""
    most = settings.max_neighbours + 1
    found = [
        near_hashes(queries.phash, base.phash, settings.max_hamming),
        near_hashes(queries.pdq, base.pdq, settings.max_hamming),
        near_layouts(queries, base, settings.min_layout, most),
    ]
    if queries.embedding is not None and base.embedding is not None:
        found.append(near_vectors(queries.embedding, base.embedding, settings.min_cosine, most))
    return np.unique(np.concatenate(found), axis=0)


def within(pairs: Pairs) -> Pairs:
    """Pairs of one set with itself: each once, the smaller row first, none with itself."""
    ordered = np.sort(pairs, axis=1)
    return np.unique(ordered[ordered[:, 0] < ordered[:, 1]], axis=0)
