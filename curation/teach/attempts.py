"""One teacher asked for one target."""

import hashlib
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from catalog import images
from catalog.degradations import WORDING, Degradation
from catalog.errors import ImageRefused
from catalog.images import Rgb
from catalog.shards import ShardStore, Stored
from curation.teach.refusals import REFUSED
from curation.teach.teachers import Teachers
from curation.units import Made

MADE, TOO_LARGE = "made", "too-large"


@dataclass(frozen=True)
class Attempt:
    """A degraded image, what to remove, and the name of the teacher to ask."""

    image_id: str
    degradation: Degradation
    teacher: str


class Attempting:
    """Makes targets as PNG of exactly the image's size; one row of schemas.TARGETS an attempt."""

    def __init__(self, raw: Path, teachers: Teachers) -> None:
        self.raw, self.teachers = raw, teachers
        self._lock = threading.Lock()

    def __reduce__(self) -> Any:
        return Attempting, (self.raw, self.teachers)

    @cached_property
    def _store(self) -> ShardStore:
        return ShardStore(self.raw)

    def key(self, unit: Attempt) -> str:
        """Over the image and how it is decoded, the task, the teacher and the limit of size."""
        identity = self.teachers.identity(unit.teacher).digest
        side = str(self.teachers.settings.max_side)
        parts = [images.VERSION, unit.image_id, unit.degradation, identity, side]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def make(self, unit: Attempt) -> Made:
        """The target, if there is one, and the row."""
        return self.make_many([unit])[0]

    def make_many(self, units: Sequence[Attempt]) -> list[Made]:
        """The same for several; those of one teacher and task are asked at once."""
        found: dict[int, Made] = {}
        waiting: defaultdict[tuple[str, Degradation], list[tuple[int, Stored]]] = defaultdict(list)
        for number, unit in enumerate(units):
            with self._lock:  # the store caches a row group
                stored = self._store.get(unit.image_id)
            if max(stored.width, stored.height) > self.teachers.settings.max_side:
                detail = f"{stored.width} x {stored.height} px"
                row = row_of(unit.image_id, unit.degradation, TOO_LARGE, detail=detail)
                found[number] = Made((), (row,))
            else:
                waiting[unit.teacher, unit.degradation].append((number, stored))
        for (name, task), asked in waiting.items():
            results = self._asked(name, task, [stored for _, stored in asked])
            found |= {number: made for (number, _), made in zip(asked, results, strict=True)}
        return [found[number] for number in range(len(units))]

    def _asked(self, name: str, task: Degradation, asked: Sequence[Stored]) -> list[Made]:
        """What one teacher makes of images; nothing here holds it after the return."""
        who = str(self.teachers.identity(name))
        pixels = [stored.decode() for stored in asked]
        try:
            targets = self.teachers.get(name).restore(pixels, task)
        except ImageRefused as refused:
            # Only an API refuses, and it is asked for one image at a time.
            if refused.reason != REFUSED or len(asked) > 1:
                raise
            (stored,) = asked
            row = row_of(stored.image_id, task, REFUSED, teacher=who, detail=refused.what)
            return [Made((), (row,))]
        return [
            _made(stored, image, target, task, who)
            for stored, image, target in zip(asked, pixels, targets, strict=True)
        ]


def _made(stored: Stored, image: Rgb, target: Rgb, task: Degradation, teacher: str) -> Made:
    key = stored.image_id
    if target.shape != image.shape:
        detail = f"{target.shape[1]} x {target.shape[0]} px for {image.shape[1]} x {image.shape[0]}"
        return Made((), (row_of(key, task, "wrong-size", teacher=teacher, detail=detail),))
    if (target == image).all():
        return Made((), (row_of(key, task, "unchanged", teacher=teacher),))
    data = images.encode_png(target)
    row = row_of(key, task, MADE, teacher=teacher, clean_id=images.image_id(data))
    kept = ("license", "creator", "source_page")
    origin = {name: stored.provenance[name] for name in kept}
    return Made(((data, {**origin, "url": None, "source": teacher}),), (row,))


def is_settled(made: Made) -> bool:
    """Of the result of an earlier run: what was refused is asked of the teacher again.

    It knows which refusals were about the image, and answers these without a request.
    """
    return made.rows[0]["outcome"] != REFUSED


def row_of(image_id: str, task: Degradation, outcome: str, **more: str | None) -> dict[str, Any]:
    """A row of schemas.TARGETS."""
    instruction = WORDING[task].instruction_en
    empty = {"clean_id": None, "teacher": None, "detail": None}
    row = {"degraded_id": image_id, "degradation": task.value, "outcome": outcome}
    return {**empty, **row, "instruction": instruction, **more}
