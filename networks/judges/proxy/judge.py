"""The embedded judge."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING

from threadpoolctl import ThreadpoolController

from catalog.degradations import Degradation
from catalog.images import Rgb
from networks.interfaces import Identity, Judgement
from networks.judges.proxy.head import SHA256, VERSION, hashes, load_heads
from networks.judges.proxy.views import SMALLEST_SIDE, Views, look

if TYPE_CHECKING:
    from networks.judges.proxy.network import Strengths

ADVISORY = frozenset({Degradation.FLARE, Degradation.REFLECTION})
"""Where what is measured says little: the answer is a hint, not a verdict."""

REMEMBERED = 64
"""Images whose answers are kept, at least, since one is usually judged for several degradations;
those of the last batch are, whatever its size."""


@dataclass
class _Seen:
    """What is known of an image: of the networks, what was asked of them."""

    measures: dict[str, float]
    components: Mapping[str, float] | None = None
    strengths: "Strengths | None" = None
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
            views = cache(partial(look, image))
            seen = self._known.get(key.digest())
            if seen is None:
                seen = self._known[key.digest()] = self._see(views())
            while len(self._known) > self._room:
                self._known.popitem(last=False)
            if degradation not in seen.answers:
                seen.answers[degradation] = self._answer(views, seen, degradation)
        return seen.answers[degradation]

    def _see(self, views: Views) -> _Seen:
        from networks.judges.proxy.measures import measure_views

        return _Seen(measure_views(views))

    def _answer(
        self, views: Callable[[], Views], seen: _Seen, degradation: Degradation
    ) -> Judgement:
        head = self._heads[degradation]
        said = self._said(views, seen, degradation)
        measures = seen.measures
        if not head.takes <= measures.keys():
            measures = {**measures, **self._components(views, seen)}
        severity, presence, probability = head.answer(measures, said)
        sure, advisory = max(probability, 1 - probability), degradation in ADVISORY
        return Judgement(severity, sure, None, advisory, seen.measures, presence)

    def _said(self, views: Callable[[], Views], seen: _Seen, degradation: Degradation) -> float:
        """The severity within, by the networks.

        A view takes them longer than all measures together, so it is shown to them only where the
        degradation asks for it.
        """
        from networks.judges.proxy.glass import load_glass, reflection_by_both
        from networks.judges.proxy.network import find, load_network

        if seen.strengths is None or not seen.strengths.tell(degradation):
            net = load_network(self._hashes["network"])
            seen.strengths = find(net, views(), degradation, seen.strengths)
        said = seen.strengths.severity(degradation)
        if degradation == Degradation.REFLECTION:  # by its name, too
            said = reflection_by_both(load_glass(self._hashes["glass"]), views().coarse, said)
        return said

    def _components(self, views: Callable[[], Views], seen: _Seen) -> Mapping[str, float]:
        from networks.judges.proxy.sight import load_sight

        if seen.components is None:
            seen.components = load_sight(self._hashes["sight"]).look(views())
        return seen.components
