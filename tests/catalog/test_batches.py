"""Batches that memory can hold."""

from catalog.batches import batches
from catalog.shards import Stored


def test_large_photos_are_computed_a_few_at_a_time() -> None:
    sizes = [100, 100, 100, 6000, 5000, 5000, 100]
    images = [Stored(str(n), b"", side, side, "PNG", {}) for n, side in enumerate(sizes)]
    found = [[one.width for one in batch] for batch in batches(images, 2)]
    assert found == [[100, 100], [100], [6000], [5000], [5000, 100]]
