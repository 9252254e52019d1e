"""Frames of clips that are the benchmark's: no earlier stage has seen them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from catalog.images import image_id
from catalog.layout import Layout
from catalog.settings import Params
from catalog.settings.curation import Deduplicate
from curation.deduplicate.benchmarks import (
    fingerprint_benchmarks,
    fingerprint_images,
    places_of,
)
from curation.deduplicate.contamination import contaminated
from curation.units import Made


class HeldOut:
    """The benchmark's images, fingerprinted when there are frames to compare with them.

    By hash, layout and local features, as `deduplicate` compares collected images; without the
    embedder, which adds crops that local features find too.
    """

    def __init__(
        self, places: Sequence[Path | str], thumbnail_side: int, settings: Deduplicate
    ) -> None:
        self.places, self.thumbnail_side, self.settings = places, thumbnail_side, settings

    @classmethod
    def of(cls, layout: Layout, params: Params) -> "HeldOut":
        """The benchmarks of a work tree."""
        places = places_of(layout, params.deduplicate)
        return cls(places, params.hash.thumbnail_side, params.deduplicate)

    def among(self, results: Iterable[Made]) -> set[str]:
        """The ids of clean sides that match an image of the benchmark."""
        frames, _ = fingerprint_images(_clean_sides(results), self.thumbnail_side)
        if not len(frames):
            return set()
        benchmark, names = fingerprint_benchmarks(self.places, self.thumbnail_side)
        matched = contaminated(frames, benchmark, names, self.settings)
        return {str(row["image_id"]) for row in matched}


def _clean_sides(results: Iterable[Made]) -> Iterator[tuple[str, bytes]]:
    for made in results:
        clean = {row["clean_id"] for row in made.rows}
        for data, _ in made.images:
            if (key := image_id(data)) in clean:
                yield key, data
