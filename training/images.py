"""Decoded images of pairs, from the shards, within a bound of memory."""

import threading
from collections import OrderedDict
from collections.abc import Iterable

from catalog.errors import ImageRefused, UserError
from catalog.images import Rgb
from catalog.shards import ShardStore
from training.draws import Pair


class PairImages:
    """Random access to both sides of pairs; safe to use from several threads.

    The most recently used decoded images stay in memory, at most `cache_bytes`.
    """

    def __init__(self, store: ShardStore, cache_bytes: int) -> None:
        self.store = store
        self.cache_bytes = cache_bytes
        self._kept: OrderedDict[str, Rgb] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    def check(self, pairs: Iterable[Pair]) -> None:
        """Raise `UserError` when a pair names an image that no shard holds."""
        for pair in pairs:
            for side, key in (("degraded", pair.degraded_id), ("clean", pair.clean_id)):
                if key not in self.store:
                    raise UserError(
                        f"No shard holds image {key}, the {side} side of pair {pair.pair_id}.",
                        "Run `dvc checkout` to get the shards, or `dvc repro assemble`.",
                    )

    def image(self, key: str) -> Rgb:
        """One image by its id. Raises `UserError`."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._reading:  # a ShardStore has one open row group
            stored = self.store.get(key)
        try:
            image = stored.decode()
        except ImageRefused as error:
            raise UserError(
                f"Image {key} of the training data cannot be decoded: {error.what}",
                f"Block it with `mendline takedown {key}` and run `dvc repro assemble`.",
            ) from error
        with self._lock:
            if key not in self._kept:
                self._kept[key] = image
                self._bytes += image.nbytes
            while self._bytes > self.cache_bytes and self._kept:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return image

    def get(self, pair: Pair) -> tuple[Rgb, Rgb]:
        """(degraded, clean), of the same size. Raises `UserError`."""
        degraded, clean = self.image(pair.degraded_id), self.image(pair.clean_id)
        if degraded.shape != clean.shape:
            raise UserError(
                f"The sides of pair {pair.pair_id} differ in size: {degraded.shape[1]} x "
                f"{degraded.shape[0]} and {clean.shape[1]} x {clean.shape[0]} pixels.",
                "Drop the pair in review, or let `pair` drop it, and run `dvc repro assemble`.",
            )
        return degraded, clean
