"""Candidate pairs to verdicts: the same photo or not, how much of it, and how alike."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from catalog.settings.curation import Deduplicate
from catalog.threads import cores
from curation.deduplicate.align import Alignment, align, content_overlap, trim_matrix
from curation.deduplicate.layouts import VIEWS, layouts
from curation.deduplicate.prints import Prints
from curation.deduplicate.search import ROUNDING, Pairs, hamming

STARTS = 3
"""Views from which the registration of a pair is tried."""

_BATCH = 1024
_PLAIN = 10  # blocks with fine structure, of 36, below which an image is plain
_PLAIN_LEAST = 0.95  # correlation from which plain images are the same
_FINE = 0.25  # correlation of fine structure that the same photo has; different ones reach 0.17
_DETAIL = 0.25  # by how much that of the median block may stay below that of the whole
_FINE_ALONE = 0.5  # the same, where a veil or a text spoils the correlation of the whole


@dataclass(frozen=True)
class Match:
    """Rows `a` and `b` show the same photo; `matrix` maps a to b in their unit squares.

    `similarity` 0..1 is the cosine of the embeddings when `reason` is "embedding". When it is
    "perceptual" it is the share of equal hash bits where the hashes are near, else what the
    aligned thumbnails have in common times how well that agrees.
    """

    a: int
    b: int
    matrix: np.ndarray
    overlap: float
    contained: float
    agreement: float
    similarity: float
    reason: str


def thumbnail(data: bytes) -> np.ndarray:
    """(height, width) uint8 from a stored thumbnail."""
    import cv2

    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE))


def _starts(a: Prints, b: Prints, pairs: Pairs) -> Iterator[list[np.ndarray]]:
    """For every pair the maps of the views under which their layouts are nearest."""
    sides = {"inner": lambda p, rows: p.inner[rows], "whole": lambda p, rows: p.whole[rows]}
    likeness, maps = [], []
    for side in sides:
        for other in sides:
            frames_a = sides[side](a, pairs[:, 0])
            frames_b = sides[other](b, pairs[:, 1])
            plain_a, plain_b = layouts(frames_a), layouts(frames_b)
            for view in VIEWS:
                likeness.append((layouts(frames_a, view) * plain_b).sum(axis=1))
                maps.append((side, other, np.linalg.inv(view.matrix())))
                likeness.append((plain_a * layouts(frames_b, view)).sum(axis=1))
                maps.append((side, other, view.matrix()))
    order = np.argsort(-np.stack(likeness), axis=0, kind="stable")[: 4 * STARTS]
    whole = np.array([0, 0, 1, 1.0])
    for row, (one, two) in enumerate(pairs):
        chosen: list[np.ndarray] = []
        for index in order[:, row]:
            side, other, between = maps[index]
            first = trim_matrix(a.trim[one] if side == "inner" else whole)
            second = trim_matrix(b.trim[two] if other == "inner" else whole)
            start = second @ between @ np.linalg.inv(first)
            if not any(np.allclose(start, known, atol=0.02) for known in chosen):
                chosen.append(start)
        yield chosen[:STARTS]


def confirmed(found: Alignment, least: float, bits: int, most_bits: int) -> bool:
    """Whether what the two images have in common is the same; `bits` is how far their hashes are.

    The fine structure must agree, well where something was laid over one of them: text or a veil
    spoils the correlation of the whole, but not that of most places. Where there is little to see,
    as in the sky, both must correlate closely, and the hashes be near where there is nothing.
    """
    if found.blocks < _PLAIN:
        fine = found.fine >= _FINE if found.blocks else bits <= most_bits
        return fine and min(found.correlation, found.detail) >= max(least, _PLAIN_LEAST)
    if found.detail < least - _DETAIL:
        return False
    return found.fine >= _FINE_ALONE or (found.fine >= _FINE and found.correlation >= least)


Question = tuple[int, int, Sequence[np.ndarray]]
"""A row of the first set, a row of the second, and the maps to begin from."""


def _answer(a: Prints, b: Prints, question: Question, settings: Deduplicate) -> Match | None:
    one, two, starts = question
    first, second = thumbnail(a.jpeg(one)), thumbnail(b.jpeg(two))
    found = align(first, second, starts, a.trim[one], b.trim[two])
    rows = slice(one, one + 1), slice(two, two + 1)
    bits = min(
        int(hamming(a.phash[rows[0]], b.phash[rows[1]])[0]),
        int(hamming(a.pdq[rows[0]], b.pdq[rows[1]])[0]),
    )
    if not confirmed(found, settings.min_correlation, bits, settings.max_hamming):
        return None
    overlap, contained = content_overlap(found.matrix, a.trim[one], b.trim[two])
    agreement = max(0.0, min(1.0, max(found.correlation, found.detail)))
    similarity, reason = 1.0 - bits / 256, "perceptual"
    if bits > settings.max_hamming:
        similarity = agreement * max(overlap, contained)
        if a.embedding is not None and b.embedding is not None:
            cosine = float(a.embedding[one] @ b.embedding[two])
            if cosine >= settings.min_cosine - ROUNDING:
                similarity, reason = min(1.0, cosine), "embedding"
    return Match(one, two, found.matrix, overlap, contained, agreement, similarity, reason)


def answer(
    a: Prints, b: Prints, questions: Iterable[Question], settings: Deduplicate
) -> Iterator[tuple[int, int, Match | None]]:
    """Each question's rows and its match, None where the two are not the same photo; in order.

    Threads share the work: nearly all of it is in OpenCV, which frees the interpreter.
    """
    with ThreadPoolExecutor(cores()) as pool:
        asked = iter(questions)
        while batch := list(islice(asked, _BATCH)):
            found = pool.map(lambda question: _answer(a, b, question, settings), batch)
            for (one, two, _), match in zip(batch, found, strict=True):
                yield one, two, match


def questions(a: Prints, b: Prints, pairs: Pairs) -> Iterator[Question]:
    """Candidate pairs with the views under which their layouts are nearest."""
    for begin in range(0, len(pairs), _BATCH):
        batch = pairs[begin : begin + _BATCH]
        for (one, two), starts in zip(batch, _starts(a, b, batch), strict=True):
            yield int(one), int(two), starts
