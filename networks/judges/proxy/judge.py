"""The embedded judge."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from catalog.degradations import Degradation
from catalog.images import Rgb
from networks.interfaces import Identity, Judgement
from networks.judges.proxy import anchors
from networks.judges.proxy.views import SMALLEST_SIDE

ADVISORY = frozenset({Degradation.FLARE, Degradation.REFLECTION})
"""Where classical measures say little: the answer is a hint, not a verdict."""

REMEMBERED = 64
"""Images whose measures are kept, since one is usually judged for several degradations."""


class ProxyJudge:
    """Severity of each degradation from classical measures, on a CPU, without any download.

    Not thread-safe. The measures of an image are the `scores` of its judgement.
    """

    identity = Identity("proxy-judge", anchors.VERSION)

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Mapping[str, float]] = OrderedDict()

    def judge(self, images: Sequence[Rgb], degradation: Degradation) -> list[Judgement]:
        """One judgement an image; an image below 32 pixels a side is a failure by name."""
        return [self._judge(image, degradation) for image in images]

    def _judge(self, image: Rgb, degradation: Degradation) -> Judgement:
        height, width = image.shape[:2]
        advisory = degradation in ADVISORY
        if min(height, width) < SMALLEST_SIDE:
            return Judgement(
                None,
                0.0,
                f"too small to judge: {width} x {height}, at least {SMALLEST_SIDE} a side",
                advisory,
            )
        measures = self._measure(image)
        severity = anchors.severity(degradation, measures)
        return Judgement(severity, 0.5, None, advisory, measures)

    def _measure(self, image: Rgb) -> Mapping[str, float]:
        from networks.judges.proxy.measures import measure

        key = hashlib.blake2b(image.tobytes(), digest_size=16, key=repr(image.shape).encode())
        found = self._known.get(key.digest())
        if found is None:
            found = self._known[key.digest()] = measure(image)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return found
