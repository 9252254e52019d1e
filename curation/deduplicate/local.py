"""Candidates by local features: any crop of a photo, wherever it was cut.

SIFT descriptors (Lowe 2004, as RootSIFT, Arandjelovic and Zisserman 2012) of the thumbnails are
searched in a FAISS index; images that share several become a candidate when a similarity map
(scale, turn, shift, and the mirror) explains the shared ones, and that map starts the alignment.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from catalog.progress import track
from curation.deduplicate.prints import Prints
from curation.deduplicate.verify import thumbnail

MOST = 150
"""Descriptors of one image."""

_NEIGHBOURS = 8
_NEAREST = 0.6  # squared distance of RootSIFT vectors (0..2) beyond which features differ
_LEAST_VOTES = 5
_LEAST_INLIERS = 7
_TRIED = 3  # images with the most votes that are tried
_FLAT = 100_000  # descriptors up to which the search is exhaustive


@dataclass(frozen=True)
class Features:
    """Points (n, 2) in the unit square, descriptors (n, 128) float32 of length 1.

    `angles` in degrees and `sizes` in pixels are those of the keypoints, of the mirrored image
    where `mirror` is set; the points are the unmirrored image's.
    """

    points: np.ndarray
    vectors: np.ndarray
    angles: np.ndarray
    sizes: np.ndarray
    mirror: bool = False


def extract(image: np.ndarray, mirror: bool = False) -> Features:
    """Features of a (height, width) uint8 thumbnail, the strongest `MOST`; points as unmirrored."""
    import cv2

    seen = np.ascontiguousarray(image[:, ::-1]) if mirror else image
    # Even dark and hazy images must have features: the threshold follows the contrast.
    spread = float(np.subtract(*np.percentile(seen, (95, 5)))) / 255.0
    # OpenCV's type stubs leave SIFT out.
    sift = cv2.SIFT_create(  # type: ignore[attr-defined]
        nfeatures=MOST, contrastThreshold=0.03 * max(spread, 0.05)
    )
    found, vectors = sift.detectAndCompute(seen, None)
    if not found or vectors is None:
        nothing = np.zeros(0)
        return Features(np.zeros((0, 2)), np.zeros((0, 128), np.float32), nothing, nothing)
    vectors = np.asarray(vectors[:MOST], np.float32)
    vectors = np.sqrt(vectors / np.maximum(vectors.sum(axis=1, keepdims=True), 1e-6))
    points = np.array([point.pt for point in found[:MOST]]) + 0.5
    points /= (image.shape[1], image.shape[0])
    if mirror:
        points[:, 0] = 1.0 - points[:, 0]
    angles = np.array([point.angle for point in found[:MOST]])
    sizes = np.array([point.size for point in found[:MOST]])
    return Features(points, np.ascontiguousarray(vectors), angles, sizes, mirror)


class LocalIndex:
    """The features of a set of images, searchable."""

    def __init__(self, images: Prints) -> None:
        import faiss

        rows = track(range(len(images)), "local features")
        self.features = [extract(thumbnail(images.jpeg(row))) for row in rows]
        self.shapes = [thumbnail(images.jpeg(row)).shape for row in range(len(images))]
        counts = [len(one.points) for one in self.features]
        self.owner = np.repeat(np.arange(len(images)), counts)
        self.number = np.concatenate([np.arange(n) for n in counts] or [np.zeros(0, int)])
        vectors = np.concatenate([one.vectors for one in self.features])
        self.index: Any = faiss.IndexFlatL2(128)
        if len(vectors) > _FLAT:
            lists = int(4 * np.sqrt(len(vectors)))
            self.index = faiss.IndexIVFFlat(self.index, 128, lists)
            self.index.cp.niter = 8
            self.index.train(vectors[:: max(1, len(vectors) // (64 * lists))])
            self.index.nprobe = 8
        self.index.add(vectors)

    def lookup(
        self, features: Features, shape: tuple[int, ...], skip: int = -1
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Images that share features with one, and the map from its unit square to theirs.

        Row `skip` is left out, which is how an image of the set is looked up.
        """
        if len(features.points) < _LEAST_INLIERS or not self.index.ntotal:
            return
        distance, found = self.index.search(features.vectors, min(_NEIGHBOURS, self.index.ntotal))
        query, rank = np.nonzero((distance < _NEAREST) & (found >= 0))
        hit = found[query, rank]
        owners = self.owner[hit]
        votes = Counter(owners[owners != skip].tolist())
        for image, count in votes.most_common(_TRIED):
            if count < _LEAST_VOTES:
                break
            here, there = query[owners == image], self.number[hit[owners == image]]
            agreeing = _consistent(features, self.features[image], here, there)
            if len({*here[agreeing].tolist()}) < _LEAST_INLIERS:
                continue
            here = features.points[here[agreeing]]
            there = self.features[image].points[there[agreeing]]
            matrix = _similarity(here, there, shape, self.shapes[image], features.mirror)
            if matrix is not None:
                yield image, matrix


def _consistent(a: Features, b: Features, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Which of the shared features turn and scale alike (Lowe's Hough voting, coarsely)."""
    turn = (b.angles[there] - a.angles[here]) % 360.0
    scale = np.log2(b.sizes[there] / a.sizes[here])
    best = np.zeros(len(here), bool)
    for angle, size in zip(turn, scale, strict=True):
        apart = np.abs((turn - angle + 180.0) % 360.0 - 180.0)
        alike = (apart < 20.0) & (np.abs(scale - size) < 0.7)
        if alike.sum() > best.sum():
            best = alike
    return best


def _similarity(
    here: np.ndarray, there: np.ndarray, shape: tuple[int, ...], other: tuple[int, ...], flip: bool
) -> np.ndarray | None:
    """(3, 3) between unit squares by RANSAC in pixels; None where too few points agree."""
    import cv2

    to_here = np.diag([shape[1], shape[0], 1.0])
    to_there = np.diag([other[1], other[0], 1.0])
    turned = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]]) if flip else np.eye(3)
    source = here @ turned[:2, :2].T + turned[:2, 2]
    found, inliers = cv2.estimateAffinePartial2D(
        (source * (shape[1], shape[0])).astype(np.float32),
        (there * (other[1], other[0])).astype(np.float32),
        method=cv2.RANSAC,
        ransacReprojThreshold=3.0,
        maxIters=200,
    )
    if found is None or inliers is None:
        return None
    agreeing = {tuple(point) for point in here[inliers.ravel() > 0].round(3).tolist()}
    if len(agreeing) < _LEAST_INLIERS:
        return None
    return np.linalg.inv(to_there) @ np.vstack([found, [0, 0, 1.0]]) @ to_here @ turned


def shared_features(
    queries: Prints, index: LocalIndex, same: bool
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Rows of `queries` and of the index that share features, with the map between them.

    `same`: the queries are the index's own images, and each pair is given once.
    """
    for row in track(range(len(queries)), "local matches"):
        image = thumbnail(queries.jpeg(row))
        plain = index.features[row] if same else extract(image)
        for features in (plain, extract(image, mirror=True)):
            for other, matrix in index.lookup(features, image.shape, row if same else -1):
                yield row, other, matrix
