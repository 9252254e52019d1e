"""Clean targets of one degraded image, by the teachers of its degradation."""

import hashlib
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from catalog import images
from catalog.degradations import WORDING, Degradation
from catalog.images import Rgb
from catalog.settings.pairs import Teach
from catalog.shards import ShardStore
from curation.select import Selected
from curation.units import Made
from networks.interfaces import Restorer
from networks.restorers import load_restorer


class Teaching:
    """Asks the teachers in their order until `candidates` of them have made a target."""

    def __init__(self, raw: Path, settings: Teach, scratch: Path) -> None:
        self.raw, self.settings, self.scratch = raw, settings, scratch
        self._loaded: dict[str, Restorer] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        # Networks and open files stay in the process that loaded them.
        return {"raw": self.raw, "settings": self.settings, "scratch": self.scratch}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @cached_property
    def _store(self) -> ShardStore:
        return ShardStore(self.raw)

    def _teachers(self, degradation: Degradation) -> list[Restorer]:
        named = self.settings.teachers
        for name in named.get(degradation, named["default"]):
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
        return [self._loaded[name] for name in named.get(degradation, named["default"])]

    def _load(self, name: str) -> Restorer:
        if name.startswith("openai:"):
            from curation.teach.image_api import ImageApiTeacher

            return ImageApiTeacher(name.removeprefix("openai:"), self.settings.api, self.scratch)
        return load_restorer(name)

    def tasks(self, unit: Selected) -> tuple[Degradation, ...]:
        """What the image is restored of."""
        return unit.degradations if self.settings.secondary else unit.degradations[:1]

    def key(self, unit: Selected) -> str:
        """Over the image, its tasks, the teachers' identities and their number."""
        parts = [unit.image_id, str(self.settings.candidates), str(self.settings.max_side)]
        for task in self.tasks(unit):
            parts += [task, *(teacher.identity.digest for teacher in self._teachers(task))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def make(self, unit: Selected) -> Made:
        """Targets as PNG of exactly the image's size, and rows of schemas.TARGETS."""
        with self._lock:  # the store caches a row group
            stored = self._store.get(unit.image_id)
        pictures: list[tuple[bytes, dict[str, str | None]]] = []
        rows: list[dict[str, Any]] = []
        if max(stored.width, stored.height) > self.settings.max_side:
            for task in self.tasks(unit):
                detail = f"{stored.width} x {stored.height} px"
                rows.append(_row(unit.image_id, task, "too-large", detail=detail))
            return Made((), tuple(rows))
        image = stored.decode()
        origin = {name: stored.provenance[name] for name in ("license", "creator", "source_page")}
        for task in self.tasks(unit):
            made = 0
            for teacher in self._teachers(task):
                if made >= self.settings.candidates:
                    break
                target, row = _ask(teacher, unit.image_id, image, task)
                if target is not None:
                    source = str(teacher.identity)
                    pictures.append((target, {**origin, "url": None, "source": source}))
                    made += 1
                if row["outcome"] != "no-teacher":
                    rows.append(row)
            if not made and not any(row["degradation"] == task for row in rows):
                names = ", ".join(str(teacher.identity) for teacher in self._teachers(task))
                rows.append(_row(unit.image_id, task, "no-teacher", detail=f"asked: {names}"))
        return Made(tuple(pictures), tuple(rows))


def _row(image_id: str, task: Degradation, outcome: str, **more: str | None) -> dict[str, Any]:
    instruction = WORDING[task].instruction_en
    empty = {"clean_id": None, "teacher": None, "detail": None}
    row = {"degraded_id": image_id, "degradation": task.value, "outcome": outcome}
    return {**empty, **row, "instruction": instruction, **more}


def _ask(
    teacher: Restorer, image_id: str, image: Rgb, task: Degradation
) -> tuple[bytes | None, dict[str, Any]]:
    """(encoded target or None, row) of one teacher."""
    name = str(teacher.identity)
    if not teacher.supports(task):
        return None, _row(image_id, task, "no-teacher", teacher=name)
    target = teacher.restore([image], task)[0]
    if target.shape != image.shape:
        detail = f"{target.shape[1]} x {target.shape[0]} px for {image.shape[1]} x {image.shape[0]}"
        return None, _row(image_id, task, "wrong-size", teacher=name, detail=detail)
    if (target == image).all():
        return None, _row(image_id, task, "unchanged", teacher=name)
    data = images.encode_png(target)
    return data, _row(image_id, task, "made", teacher=name, clean_id=images.image_id(data))
