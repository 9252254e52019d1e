"""What both judges share: cache first, ask for the rest, read what comes back."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from PIL import Image

from catalog.degradations import Degradation
from catalog.images import Rgb, pixel_digest
from networks.interfaces import Identity, Judgement
from networks.judges.vlm.cache import AnswerCache
from networks.judges.vlm.prompts import question
from networks.judges.vlm.protocol import prepare, read_answer, refusal

REMEMBERED = 64
"""Prepared images that are kept, about 0.75 MB each, or those of the last batch if they are more:
an image is usually asked about nine times."""


@dataclass(frozen=True)
class Reply:
    """What the model said, or why it said nothing."""

    text: str = ""
    failure: str | None = None


class AskingJudge(ABC):
    """A judge by question and answer. Severities are whole numbers 1 .. 5."""

    identity: Identity

    def __init__(self, prompt: str, cache: AnswerCache | None) -> None:
        self.prompt = prompt
        self.cache = cache
        self._prepared: OrderedDict[str, Image.Image] = OrderedDict()

    def uncached(self) -> "AskingJudge":
        """The same judge without its store of answers: to see whether it repeats itself."""
        other = copy(self)
        other.cache = None
        return other

    @abstractmethod
    def ask(self, images: Sequence[Image.Image], text: str) -> list[Reply]:
        """One reply a prepared image."""

    def judge(self, images: Sequence[Rgb], degradation: Degradation) -> list[Judgement]:
        """One judgement an image; what cannot be read or reached is a failure in words."""
        keys: list[str] = []
        found: dict[str, Judgement] = {}
        missing: dict[str, Image.Image] = {}
        for image in images:
            pixels = pixel_digest(image)
            key = AnswerCache.key(pixels, degradation, self.identity)
            keys.append(key)
            if key in found or key in missing:
                continue
            refused = refusal(image)
            known = self.cache.get(key) if self.cache and not refused else None
            if refused:
                found[key] = Judgement(None, 0.0, refused)
            elif known is not None:
                found[key] = Judgement(float(known))
            else:
                missing[key] = self._prepare(pixels, image)
        replies = self.ask(list(missing.values()), question(self.prompt, degradation))
        for key, reply in zip(missing, replies, strict=True):
            found[key] = self._read(reply)
            severity = found[key].severity
            if self.cache and severity is not None:
                self.cache.put(key, int(severity), reply.text)
        while len(self._prepared) > max(REMEMBERED, len(images)):
            self._prepared.popitem(last=False)
        return [found[key] for key in keys]

    def _prepare(self, pixels: str, image: Rgb) -> Image.Image:
        prepared = self._prepared.pop(pixels, None) or prepare(image)
        self._prepared[pixels] = prepared
        return prepared

    @staticmethod
    def _read(reply: Reply) -> Judgement:
        if reply.failure:
            return Judgement(None, 0.0, reply.failure)
        severity = read_answer(reply.text)
        if severity is None:
            return Judgement(None, 0.0, f"the answer holds no score: {reply.text[:80]!r}")
        return Judgement(float(severity))
