"""Synthetic pairs of one photo."""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from catalog import images
from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.pairs import Pair, Synthesize
from catalog.shards import ShardStore
from curation.pair.measures import Instruments
from curation.select import Selected
from curation.synthesize.row import pair_row
from curation.units import Made
from networks.degraders import load_degrader
from networks.degraders.base import RecordingDegrader
from networks.degraders.seeds import image_seed
from networks.degraders.sources import load_sources

VERSION = "2"
"""Of the rows; those of another version are made anew."""


def scaled(image: Rgb, max_side: int) -> Rgb:
    """The image with its longer side at most `max_side`."""
    factor = max_side / max(image.shape[:2])
    if factor >= 1:
        return image
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


class Maker:
    """Degrades one photo by every degradation; screens what comes of it.

    `layers` are the ids of the photos that glass may mirror.
    """

    def __init__(self, raw: Path, settings: Synthesize, pair: Pair, layers: list[str]) -> None:
        self.raw, self.settings, self.layers = raw, settings, layers
        self.instruments = Instruments(pair)

    def __getstate__(self) -> dict[str, Any]:
        # Open files stay in the process that opened them.
        return {name: self.__dict__[name] for name in ("raw", "settings", "layers", "instruments")}

    @cached_property
    def _store(self) -> ShardStore:
        return ShardStore(self.raw)

    @cached_property
    def _degraders(self) -> dict[Degradation, RecordingDegrader]:
        # In the order of ids, not of the shards: which photo is drawn must not depend on which
        # of them was downloaded first.
        settings = self.settings
        shown = [scaled(self._store.get(key).decode(), settings.max_side) for key in self.layers]
        sources = load_sources(
            shown, settings.patterns, settings.depth, settings.segments, settings.device
        )
        plain = {
            name: load_degrader(name, settings.ranges, sources=sources)
            for name in settings.degradations
        }
        if settings.device is None:
            return dict(plain)
        from networks.degraders.tensors import TensorDegrader

        return {name: TensorDegrader(each, settings.device) for name, each in plain.items()}

    @cached_property
    def _constants(self) -> str:
        # Folders count by their content, which the degraders' identities name, layers by their ids.
        without = {"patterns", "depth", "segments", "clips", "clip_windows", "clip_frames"}
        without |= {"max_photos", "layers"}
        parts = [
            VERSION,
            self.settings.model_dump_json(exclude=without),
            self.instruments.settings.model_dump_json(),
            *self.layers,
        ]
        parts += self.instruments.digests
        parts += [degrader.identity.digest for degrader in self._degraders.values()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def key(self, unit: Selected) -> str:
        """Over the photo, the settings and all identities."""
        text = f"{self._constants}\n{unit.image_id}\n{unit.group}"
        return hashlib.sha256(text.encode()).hexdigest()

    def make(self, unit: Selected) -> Made:
        """The scaled photo, its degraded versions, and a row (schemas.PAIRS) for each."""
        stored = self._store.get(unit.image_id)
        photo = stored.decode()
        if min(photo.shape[:2]) < self.settings.min_side:
            return Made((), ())
        photo = scaled(photo, self.settings.max_side)
        if min(photo.shape[:2]) < 32:
            return Made((), ())
        origin = {"license": stored.provenance["license"], "creator": stored.provenance["creator"]}
        origin |= {"source_page": stored.provenance["source_page"]}
        clean = images.encode_png(photo)
        pictures: list[tuple[bytes, dict[str, str | None]]] = [
            (clean, {**origin, "url": stored.provenance["url"], "source": "scaled"})
        ]
        rows = []
        for degradation, degrader in self._degraders.items():
            for variant in range(self.settings.variants):
                seed = image_seed(self.settings.seed, unit.image_id, degradation, variant)
                rng = np.random.default_rng(seed)
                severity = float(rng.uniform(*self.settings.severity))
                degraded, drawn = degrader.degrade_with_parameters(photo, severity, rng)
                data = images.encode_png(degraded)
                pictures.append((data, {**origin, "source": str(degrader.identity)}))
                layer = drawn.get("layer")
                row = pair_row(
                    (degraded, data),
                    (photo, clean),
                    degradation,
                    self.instruments,
                    drawn,
                    {
                        "group": unit.group,
                        "photo_id": unit.image_id,
                        "layer_id": self.layers[layer] if isinstance(layer, int) else None,
                        "teacher": str(degrader.identity),
                        "seed": seed,
                    },
                )
                rows.append(row)
        return Made(tuple(pictures), tuple(rows))
