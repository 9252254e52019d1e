"""The embedded judge."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from threadpoolctl import ThreadpoolController

from catalog.degradations import Degradation
from catalog.images import Rgb
from networks.interfaces import Identity, Judgement
from networks.judges.proxy.head import SHA256, VERSION, hashes, load_heads
from networks.judges.proxy.views import SMALLEST_SIDE, look

ADVISORY = frozenset({Degradation.FLARE, Degradation.REFLECTION})
"""Where what is measured says little: the answer is a hint, not a verdict."""

REMEMBERED = 64
"""Images whose answers are kept, at least, since one is usually judged for several degradations;
those of the last batch are, whatever its size."""


@dataclass(frozen=True)
class _Seen:
    """What is known of an image, whatever it is judged for; `answers` are what it was."""

    measures: dict[str, float]
    components: Mapping[str, float]
    said: dict[Degradation, float]
    """Severities within, by the network of all degradations."""
    answers: dict[Degradation, Judgement] = field(default_factory=dict)


class ProxyJudge:
    """Severity of each degradation from measures and small networks, on a CPU, without download.

    The confidence is the probability that the heads give to what they say: that the degradation is
    there, or that it is not. The measures of an image are the `scores` of its judgement. Not
    thread-safe.
    """

    identity = Identity("proxy-judge", VERSION, SHA256)

    def __init__(self) -> None:
        self._heads, self._hashes = load_heads(), hashes()
        self._blas = ThreadpoolController().select(user_api="blas")
        self._room = REMEMBERED
        self._known: OrderedDict[bytes, _Seen] = OrderedDict()

    def judge(self, images: Sequence[Rgb], degradation: Degradation) -> list[Judgement]:
        """One judgement an image; an image below 32 pixels a side is a failure by name."""
        self._room = max(REMEMBERED, len(images))
        return [self._judge(image, degradation) for image in images]

    def _judge(self, image: Rgb, degradation: Degradation) -> Judgement:
        height, width = image.shape[:2]
        if min(height, width) < SMALLEST_SIDE:
            return Judgement(
                None,
                0.0,
                f"too small to judge: {width} x {height}, at least {SMALLEST_SIDE} a side",
                degradation in ADVISORY,
            )
        key = hashlib.blake2b(image.tobytes(), digest_size=16, key=repr(image.shape).encode())
        # Its products are small: a second thread doubles the CPU time, and where others use the
        # cores each product waits for it.
        with self._blas.limit(limits=1):
            seen = self._known.get(key.digest())
            if seen is None:
                seen = self._known[key.digest()] = self._see(image)
            while len(self._known) > self._room:
                self._known.popitem(last=False)
            if degradation not in seen.answers:
                seen.answers[degradation] = self._answer(image, seen, degradation)
        return seen.answers[degradation]

    def _see(self, image: Rgb) -> _Seen:
        from networks.judges.proxy.measures import measure_views
        from networks.judges.proxy.network import load_network, severities
        from networks.judges.proxy.sight import load_sight

        views = look(image)
        components = load_sight(self._hashes["sight"]).look(views)
        net = load_network(self._hashes["network"])
        return _Seen(measure_views(views), components, severities(net, views))

    def _answer(self, image: Rgb, seen: _Seen, degradation: Degradation) -> Judgement:
        from networks.judges.proxy.glass import load_glass, reflection_by_both

        said = seen.said[degradation]
        if degradation == Degradation.REFLECTION:  # by its name, too
            net = load_glass(self._hashes["glass"])
            said = reflection_by_both(net, look(image).coarse, said)
        head = self._heads[degradation]
        severity, presence, probability = head.answer({**seen.measures, **seen.components}, said)
        sure, advisory = max(probability, 1 - probability), degradation in ADVISORY
        return Judgement(severity, sure, None, advisory, seen.measures, presence)
