"""Which pairs are worth a look: near hashes, near layouts, near embeddings."""

from collections.abc import Iterator

import numpy as np

from catalog.settings.curation import Deduplicate
from curation.deduplicate.index import Store
from curation.deduplicate.layouts import CROP, VIEWS, layouts
from curation.deduplicate.prints import Prints
from curation.deduplicate.search import (
    Index,
    Pairs,
    near_hashes,
    near_vectors,
    none,
    vector_index,
)

_CROWD = 3000
"""Images from which chance likeness of layouts counts: about 0.3 of each, at the setting's."""
_STEP, _HIGHEST = 0.08, 0.85


def _frames(prints: Prints) -> tuple[np.ndarray, np.ndarray]:
    """Frames without border of all, and whole ones of those that have a border; rows of both."""
    bordered = np.flatnonzero(np.any(prints.inner != prints.whole, axis=1))
    frames = np.concatenate([prints.inner, prints.whole[bordered]])
    return frames, np.concatenate([np.arange(len(prints)), bordered])


def least_layout(least: float, count: int) -> float:
    """The cosine from which layouts of `count` images are candidates; rises with their number.

    Different photos reach a cosine of 0.5, 0.6 with a chance of 8e-4, 1e-4 (measured on 19,900
    pairs), so that a fixed limit would give each of a million images a hundred candidates.
    """
    return max(least, min(_HIGHEST, least + _STEP * np.log10(max(count / _CROWD, 1.0))))


def near_layouts(
    queries: Prints, base: Prints, least: float, most: int, store: Store | None = None
) -> Pairs:
    """Pairs of which a view of one looks like the other as a whole, with or without border.

    Two images that both have a border are compared without it alone: equal borders make any two
    images alike.
    """
    if not len(queries) or not len(base):
        return none()
    frames_q, rows_q = _frames(queries)
    frames_b, rows_b = _frames(base)
    plain_b = layouts(frames_b)

    def views() -> Iterator[Pairs]:
        if store is None:
            index = Index(vector_index(plain_b))
        else:
            keys = base.ids + [f"{base.ids[row]} whole" for row in rows_b[len(base) :]]
            index = store.vectors("layouts", keys, plain_b)
        for view in VIEWS:
            yield near_vectors(layouts(frames_q, view), plain_b, least, most, index)
        if queries is not base:
            # A mirror or a turn of one is that of the other, but a crop is not.
            plain_q = layouts(frames_q)
            other = Index(vector_index(plain_q))
            for view in VIEWS:
                if view.crop >= CROP:
                    near = near_vectors(layouts(frames_b, view), plain_q, least, most, other)
                    yield near[:, ::-1]

    found = np.concatenate(list(views()))
    found = found[(found[:, 0] < len(queries)) | (found[:, 1] < len(base))]
    return np.unique(np.stack([rows_q[found[:, 0]], rows_b[found[:, 1]]], axis=1), axis=0)


def candidates(
    queries: Prints, base: Prints, settings: Deduplicate, store: Store | None = None
) -> Pairs:
    """Candidate pairs by hashes, layouts and, where both have them, embeddings; sorted.

    `store` holds the indexes of the base where it is the collection.
    """
    most = settings.max_neighbours + 1
    ids = base.ids

    def hashes(name: str, of_queries: np.ndarray, of_base: np.ndarray) -> Pairs:
        index = store.hashes(name, ids, of_base) if store else None
        return near_hashes(of_queries, of_base, settings.max_hamming, index)

    least = least_layout(settings.min_layout, len(base))
    found = [
        hashes("phash", queries.phash, base.phash),
        hashes("pdq", queries.pdq, base.pdq),
        near_layouts(queries, base, least, most, store),
    ]
    if queries.embedding is not None and base.embedding is not None:
        index = store.vectors("embeddings", ids, base.embedding) if store else None
        found.append(
            near_vectors(queries.embedding, base.embedding, settings.min_cosine, most, index)
        )
    return np.unique(np.concatenate(found), axis=0)


def within(pairs: Pairs) -> Pairs:
    """Pairs of one set with itself: each once, the smaller row first, none with itself."""
    ordered = np.sort(pairs, axis=1)
    return np.unique(ordered[ordered[:, 0] < ordered[:, 1]], axis=0)
