"""Synthetic samples degraded anew each time they are drawn."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.training import Stage
from networks.degraders.base import RecordingDegrader
from training.draws import Pair
from training.images import PairImages

Fresh = Callable[[Rgb, Degradation, np.random.Generator], Rgb]
"""A clean image, what to do to it, and where all chance comes from, to the degraded image."""

LAYERS = 64
"""Clean images, at most, that the glass of a reflection mirrors."""


def fresh(stage: Stage, pairs: Sequence[Pair], images: PairImages) -> Fresh | None:
    """The degraders with their default ranges and `stage.fresh_severity`; None where no share is.

    Layers of reflections are clean sides of the synthetic training pairs, spread over them.
    """
    if not stage.fresh:
        return None
    from networks.degraders import load_degrader

    clean = sorted({pair.clean_id for pair in pairs if pair.origin == "synthetic"})
    layers = [images.image(key) for key in clean[:: max(1, len(clean) // LAYERS)][:LAYERS]]
    plain = {
        task: load_degrader(task, layers=layers if task is Degradation.REFLECTION else ())
        for task in Degradation
    }
    degraders: Mapping[Degradation, RecordingDegrader] = plain
    if stage.degrade_device is not None:
        from networks.degraders.tensors import TensorDegrader

        degraders = {
            task: TensorDegrader(each, stage.degrade_device) for task, each in plain.items()
        }

    def degrade(image: Rgb, task: Degradation, rng: np.random.Generator) -> Rgb:
        severity = float(rng.uniform(*stage.fresh_severity))
        return degraders[task].degrade_with_parameters(image, severity, rng)[0]

    return degrade


def versions() -> dict[str, str]:
    """Version of each degrader, as a record of what a training saw."""
    from networks.degraders import load_degrader

    return {str(task): load_degrader(task).version for task in Degradation}
