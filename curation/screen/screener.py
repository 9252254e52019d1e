"""Screening of decoded images in batches: the networks of the settings, and the rules."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.screen import Screen
from curation.copies import most_copies
from curation.screen.content import NONE, load_filter
from curation.screen.forms import SHA256 as FORMS
from curation.screen.forms import forms
from curation.screen.prompts import PromptReader, Reading
from curation.screen.quality import measure_quality
from curation.screen.rules import Found, decide
from networks.embedders import load_embedder
from networks.interfaces import Judgement
from networks.judges import load_judge
from networks.judges.answers import Silence, ask
from networks.watermark.detector import load_detector
from networks.watermark.meaning import find_mark
from networks.watermark.reading import load_reader

VERSION = "10"
"""Of the rules and the explicit detectors; results of another version are computed again."""


class Screener:
    """What decides by the settings: the judge alone, or prompts first and the judge after them."""

    def __init__(self, settings: Screen) -> None:
        """Loads the networks. Raises `UserError` for one that is not there."""
        self.settings = settings
        self._silence = Silence(settings.judge, "screen.judge")
        self.judge = load_judge(settings.judge)
        self.marks, self.reader = load_detector(), load_reader()
        self.content = load_filter(settings.content_model, tuple(settings.content_labels))
        self.prompts = (
            PromptReader(load_embedder(settings.embedder))
            if settings.decided_by == "prompts"
            else None
        )

    @property
    def identities(self) -> dict[str, str]:
        """Who decides, for the tables and the dataset card."""
        return {
            "judge": str(self.judge.identity),
            "watermark": str(self.marks.identity),
            "reader": str(self.reader.identity),
            "content": str(self.content.identity) if self.content else NONE,
            "prompts": str(self.prompts.embedder.identity) if self.prompts else NONE,
        }

    @property
    def digest(self) -> str:
        """SHA-256 over the version and all that decides, for cache keys."""
        parts = [
            VERSION,
            self.judge.identity.digest,
            self.marks.identity.digest,
            self.reader.identity.digest,
            self.content.identity.digest if self.content else NONE,
            self.prompts.digest if self.prompts else NONE,
            FORMS,
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def processes(self) -> int:
        """How many processes may hold the networks."""
        return most_copies([self.judge, self.content, self.prompts and self.prompts.embedder])

    def rows(self, images: Sequence[Rgb]) -> list[dict[str, Any]]:
        """Rows of `schemas.SCREENING` without image_id, one an image.

        Raises `UserError` where the judge answers nothing any more.
        """
        readings = self.prompts.read(images) if self.prompts else [None] * len(images)
        judged = self._judged(images, readings)
        # Below it what is written changes nothing.
        read_above = self.settings.mark_limit(names_owner=True)
        contents = self.content.scores(images) if self.content else [None] * len(images)
        return [
            _row(
                Found(
                    measure_quality(image),
                    judged[index],
                    find_mark(image, self.marks, self.reader, read_above),
                    forms(image),
                    contents[index],
                    readings[index],
                ),
                self.settings,
            )
            for index, image in enumerate(images)
        ]

    def _judged(
        self, images: Sequence[Rgb], readings: Sequence[Reading | None]
    ) -> list[dict[Degradation, Judgement]]:
        """By image; where prompts decide, the judge is only asked about what they name."""
        found: list[dict[Degradation, Judgement]] = [{} for _ in images]
        for degradation in Degradation:
            asked = [
                index
                for index, reading in enumerate(readings)
                if reading is None
                or reading.margins[degradation] >= self.settings.margin(degradation)
            ]
            chosen = [images[index] for index in asked]
            answers = ask(self.judge, chosen, degradation)
            self._silence.hear(chosen, answers)
            for index, answer in zip(asked, answers, strict=True):
                found[index][degradation] = answer
        return found


@lru_cache(maxsize=1)
def load_screener(settings: str) -> Screener:
    """The screener of settings as JSON, loaded once a process."""
    return Screener(Screen.model_validate_json(settings))


def _row(found: Found, settings: Screen) -> dict[str, Any]:
    decision = decide(found, settings)
    scores = {"watermark": found.mark.probability, "names-owner": float(found.mark.names_owner)}
    scores |= {f"form/{form}": value for form, value in found.forms.items()}
    quality = found.quality
    scores |= {
        "quality/side": float(quality.side),
        "quality/noise": quality.noise,
        "quality/softness": quality.softness,
        "quality/blockiness": quality.blockiness,
        "quality/relief": quality.relief,
    }
    if found.content is not None:
        scores["content"] = found.content
    if found.reading is not None:
        scores |= {f"margin/{d}": margin for d, margin in found.reading.margins.items()}
    for degradation, judgement in found.judgements.items():
        if judgement.severity is not None and judgement.presence is not None:
            scores[f"severity/{degradation}"] = judgement.severity
            scores[f"presence/{degradation}"] = judgement.presence
            scores[f"confidence/{degradation}"] = judgement.confidence
    return {
        "degradation": decision.degradation,
        "also": list(decision.also),
        "confidence": decision.confidence,
        "severity": decision.severity,
        "watermark": found.mark.probability,
        "verdict": decision.verdict,
        "reason": decision.reason,
        "scores": scores,
    }


def refused_row(reason: str) -> dict[str, Any]:
    """The row of an image that cannot be decoded."""
    return {"also": [], "verdict": "drop", "reason": reason, "scores": {}}
