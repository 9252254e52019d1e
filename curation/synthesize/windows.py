"""Pairs of motion blur from clips: the average of a window of frames, and its middle frame."""

import hashlib
from pathlib import Path

import numpy as np

from catalog import images
from catalog.degradations import Degradation
from catalog.errors import ImageRefused
from catalog.log import logger
from catalog.settings.pairs import Pair, Synthesize
from curation.pair.measures import Instruments
from curation.synthesize.row import pair_row
from curation.units import Made
from networks.degraders.clips import Clip
from networks.degraders.seeds import image_seed
from networks.interfaces import Identity


class WindowMaker:
    """Averages windows of one clip; screens what comes of it.

    Nothing is known of a clip's licence and source. Its middle frames are photos of their own: the
    pair's `photo_id` is its clean side, and all windows of a clip are one group.
    """

    def __init__(self, settings: Synthesize, pair: Pair) -> None:
        self.settings, self.instruments = settings, Instruments(pair)

    @property
    def identity(self) -> Identity:
        """Of the average, over its settings."""
        text = f"{self.settings.clip_frames} {self.settings.max_side}"
        return Identity("average-frames", "1", prompt=hashlib.sha256(text.encode()).hexdigest())

    def key(self, unit: Clip) -> str:
        """Over the clip's content, the settings and all identities."""
        parts = [unit.digest, str(self.settings.seed), str(self.settings.clip_windows)]
        parts += [
            str(self.settings.min_side),
            self.instruments.settings.model_dump_json(),
            self.identity.digest,
        ]
        parts += self.instruments.digests
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def make(self, unit: Clip) -> Made:
        """The middle frames, the averages, and a row (schemas.PAIRS) for each window."""
        pictures: list[tuple[bytes, dict[str, str | None]]] = []
        rows = []
        for number in range(self.settings.clip_windows):
            seed = image_seed(self.settings.seed, unit.digest, Degradation.BLUR, number)
            rng = np.random.default_rng(seed)
            try:
                window = unit.window(rng, self.settings.clip_frames, self.settings.max_side)
            except ImageRefused as refused:
                logger(__name__).warning("window left out", clip=unit.path.name, why=refused.what)
                continue
            if min(window.sharp.shape[:2]) < self.settings.min_side:
                continue
            blurred, sharp = images.encode_png(window.blurred), images.encode_png(window.sharp)
            last = window.first + window.count - 1
            pictures += [
                (sharp, {"source": f"clip {unit.digest} frame {window.first + window.count // 2}"}),
                (blurred, {"source": f"clip {unit.digest} frames {window.first} to {last}"}),
            ]
            row = pair_row(
                (window.blurred, blurred),
                (window.sharp, sharp),
                Degradation.BLUR,
                self.instruments,
                {"first-frame": window.first, "frames": window.count},
                {
                    "group": f"clip-{unit.digest}",
                    "photo_id": images.image_id(sharp),
                    "teacher": str(self.identity),
                    "seed": seed,
                },
                "scene-cut" if window.cut else None,
            )
            rows.append(row)
        return Made(tuple(pictures), tuple(rows))


def clips_of(settings: Synthesize) -> list[Clip]:
    """The clips that are averaged: none where no folder is named or blur is not asked for."""
    from networks.degraders.clips import find_clips

    if settings.clips is None or Degradation.BLUR not in settings.degradations:
        return []
    return find_clips(Path(settings.clips))
