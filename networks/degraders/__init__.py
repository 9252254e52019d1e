"""Synthesis of the nine degradations, one file each, and of the web-style chain.

`load_degrader` is the way in; heavy imports wait until it is called.
"""

import difflib
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb

if TYPE_CHECKING:
    from catalog.settings.degraders import DegraderRanges
    from networks.degraders.base import ParametricDegrader

_CLASSES: dict[Degradation, str] = {
    Degradation.BLUR: "blur:BlurDegrader",
    Degradation.COMPRESSION: "compression:CompressionDegrader",
    Degradation.MOIRE: "moire:MoireDegrader",
    Degradation.LOW_LIGHT: "low_light:LowLightDegrader",
    Degradation.NOISE: "noise:NoiseDegrader",
    Degradation.FLARE: "flare:FlareDegrader",
    Degradation.REFLECTION: "reflection:ReflectionDegrader",
    Degradation.HAZE: "haze:HazeDegrader",
    Degradation.RAIN: "rain:RainDegrader",
}


def load_degrader(
    degradation: Degradation | str,
    ranges: "DegraderRanges | None" = None,
    layers: Sequence[Rgb] = (),
) -> "ParametricDegrader[Any]":
    """The degrader of one degradation.

    `ranges` are those of all nine (defaults of catalog.settings.degraders). `layers` are photos
    that the glass of a reflection may mirror; without any, a scene is generated.
    Raises `UserError` for an unknown name.
    """
    from catalog.settings.degraders import DegraderRanges

    try:
        degradation = Degradation(degradation)
    except ValueError:
        near = difflib.get_close_matches(str(degradation), list(Degradation), n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(Degradation)}."
        raise UserError(f"{degradation!r} is not a degradation.", hint) from None
    module, name = _CLASSES[degradation].split(":")
    kind = getattr(importlib.import_module(f"networks.degraders.{module}"), name)
    own = getattr(ranges or DegraderRanges(), degradation.value.replace("-", "_"))
    return kind(own, layers) if degradation is Degradation.REFLECTION else kind(own)
