"""Images in batches that memory can hold, whatever their size."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

MOST_PIXELS = 1 << 25
"""Of a batch, about 100 MB decoded: large photos are computed a few at a time."""


class Sized(Protocol):
    """Anything that is an image."""

    @property
    def pixels(self) -> int:
        """Height times width."""
        ...


T = TypeVar("T", bound=Sized)


def batches(images: Iterable[T], most: int) -> Iterator[list[T]]:
    """Runs of `images`, at most `most` and `MOST_PIXELS` each; a larger image is one by itself."""
    batch: list[T] = []
    pixels = 0
    for image in images:
        if batch and (len(batch) == most or pixels + image.pixels > MOST_PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append(image)
        pixels += image.pixels
    if batch:
        yield batch
