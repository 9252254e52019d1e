"""Candidate pairs to verdicts: the same photo or not, how much of it, and how alike."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from catalog.settings.curation import Deduplicate
from curation.deduplicate.align import Alignment, align, content_overlap, trim_matrix
from curation.deduplicate.candidates import Pairs, hamming
from curation.deduplicate.layouts import VIEWS, layouts
from curation.deduplicate.prints import Prints

STARTS = 3
"""Views from which the registration of a pair is tried."""

_BATCH = 1024
_TELLING = 50  # PDQ quality from which a hash tells images apart by itself


@dataclass(frozen=True)
class Match:
    """Rows `a` and `b` show the same photo; `matrix` maps a to b in their unit squares.

    `similarity` 0..1: of the hashes when `reason` is "perceptual", of the embeddings when it is
    "embedding".
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


def confirmed(found: Alignment, least: float) -> bool:
    """Whether what the two images have in common is the same.

    Either all of it correlates, or its details do while something was laid over it: text spoils
    the whole's correlation but not the median block's.
    """
    return (found.correlation >= least and found.detail >= least - 0.25) or (
        found.detail >= least and found.correlation >= least - 0.35
    )


def verify(a: Prints, b: Prints, pairs: Pairs, settings: Deduplicate) -> Iterator[Match]:
    """The pairs that show the same photo, in their order, whatever their overlap."""
    for begin in range(0, len(pairs), _BATCH):
        batch = pairs[begin : begin + _BATCH]
        bits = np.minimum(
            hamming(a.phash[batch[:, 0]], b.phash[batch[:, 1]]),
            hamming(a.pdq[batch[:, 0]], b.pdq[batch[:, 1]]),
        )
        for (one, two), starts, near in zip(batch, _starts(a, b, batch), bits, strict=True):
            first, second = thumbnail(a.jpeg(one)), thumbnail(b.jpeg(two))
            found = align(first, second, starts, a.trim[one], b.trim[two])
            if confirmed(found, settings.min_correlation):
                overlap, contained = content_overlap(found.matrix, a.trim[one], b.trim[two])
                agreement = max(found.correlation, found.detail)
                hashed = near <= settings.max_hamming
                yield Match(
                    int(one),
                    int(two),
                    found.matrix,
                    overlap,
                    contained,
                    agreement,
                    1.0 - float(near) / 256 if hashed else agreement * overlap,
                    "perceptual",
                )
