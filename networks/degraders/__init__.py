"""Synthesis of the nine degradations, one file each, and of the web-style chain.

`load_degrader` is the way in; heavy imports wait until it is called.
"""

import difflib
from typing import TYPE_CHECKING, Any

from catalog.degradations import Degradation
from catalog.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.images import Rgb
    from catalog.settings.degraders import DegraderRanges
    from networks.degraders.base import ParametricDegrader
    from networks.degraders.sources import Sources


def load_degrader(
    degradation: Degradation | str,
    ranges: "DegraderRanges | None" = None,
    layers: "Sequence[Rgb]" = (),
    sources: "Sources | None" = None,
) -> "ParametricDegrader[Any, Any]":
    """The degrader of one degradation.

    `ranges` are those of all nine (defaults of catalog.settings.degraders). `sources` are photos,
    patterns and estimators that it may use; `layers` are short for sources with these alone.
    Raises `UserError` for an unknown name.
    """
    from catalog.settings.degraders import DegraderRanges
    from networks.degraders.sources import Sources

    try:
        degradation = Degradation(degradation)
    except ValueError:
        near = difflib.get_close_matches(str(degradation), list(Degradation), n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(Degradation)}."
        raise UserError(f"{degradation!r} is not a degradation.", hint) from None
    return _make(degradation, ranges or DegraderRanges(), sources or Sources(layers=layers))


def _make(
    degradation: Degradation, ranges: "DegraderRanges", sources: "Sources"
) -> "ParametricDegrader[Any, Any]":
    patterns = sources.patterns.get(degradation, ())
    named = sources.named(f"patterns-{degradation}")
    match degradation:
        case Degradation.BLUR:
            from networks.degraders.blur import BlurDegrader

            return BlurDegrader(ranges.blur)
        case Degradation.COMPRESSION:
            from networks.degraders.compression import CompressionDegrader

            return CompressionDegrader(ranges.compression)
        case Degradation.MOIRE:
            from networks.degraders.moire import MoireDegrader

            return MoireDegrader(ranges.moire)
        case Degradation.LOW_LIGHT:
            from networks.degraders.low_light import LowLightDegrader

            return LowLightDegrader(ranges.low_light)
        case Degradation.NOISE:
            from networks.degraders.noise import NoiseDegrader

            return NoiseDegrader(ranges.noise, sources.segments, *sources.named("segments"))
        case Degradation.FLARE:
            from networks.degraders.flare import FlareDegrader

            return FlareDegrader(ranges.flare, patterns, *named)
        case Degradation.REFLECTION:
            from networks.degraders.reflection import ReflectionDegrader

            return ReflectionDegrader(ranges.reflection, sources.layers)
        case Degradation.HAZE:
            from networks.degraders.haze import HazeDegrader

            named += sources.named("depth")
            return HazeDegrader(ranges.haze, sources.depth, patterns, *named)
        case Degradation.RAIN:
            from networks.degraders.rain import RainDegrader

            named += sources.named("depth")
            return RainDegrader(ranges.rain, sources.depth, patterns, *named)
