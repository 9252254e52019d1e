"""What both judges share: cache first, ask for the rest, read what comes back."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from PIL import Image

from catalog.degradations import Degradation
from catalog.images import Rgb
from networks.interfaces import Identity, Judgement
from networks.judges.vlm.cache import AnswerCache
from networks.judges.vlm.prompts import question
from networks.judges.vlm.protocol import prepare, read_answer


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
        keys = [AnswerCache.key(image, degradation, self.identity) for image in images]
        known = {key: self.cache.get(key) for key in set(keys)} if self.cache else {}
        missing = {
            key: image
            for key, image in zip(keys, images, strict=True)
            if known.get(key) is None and min(image.shape[:2]) > 0
        }
        replies = self.ask(
            [prepare(image) for image in missing.values()], question(self.prompt, degradation)
        )
        fresh = dict(zip(missing, map(self._read, replies), strict=True))
        for key, reply in zip(missing, replies, strict=True):
            severity = fresh[key].severity
            if self.cache and severity is not None:
                self.cache.put(key, int(severity), reply.text)
        return [
            fresh.get(key) or Judgement(_as_float(known.get(key)), failure=_empty(known.get(key)))
            for key in keys
        ]

    @staticmethod
    def _read(reply: Reply) -> Judgement:
        if reply.failure:
            return Judgement(None, 0.0, reply.failure)
        severity = read_answer(reply.text)
        if severity is None:
            return Judgement(None, 0.0, f"the answer holds no score: {reply.text[:80]!r}")
        return Judgement(float(severity))


def _as_float(value: int | None) -> float | None:
    return None if value is None else float(value)


def _empty(value: int | None) -> str | None:
    return "the image has no pixels" if value is None else None
