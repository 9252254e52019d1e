"""The teachers by name: of those with weights, one at a time on each device."""

import gc
import hashlib
import itertools
import threading
from pathlib import Path
from typing import Any

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.settings.pairs import Teach
from networks.interfaces import Identity, Restorer
from networks.restorers import load_restorer

REGISTRY = "models:/"
API = "openai:"
LIGHT = frozenset({"classical", "identity"})
"""Teachers without weights, which any number of processes may run side by side."""


def fetched_folder(teachers: Path, uri: str) -> Path:
    """Where the model that the registry URI names lies once it was fetched."""
    return teachers / hashlib.sha256(uri.encode()).hexdigest()[:16]


class Teachers:
    """Loads each teacher when it is asked for.

    A thread keeps to one device; threads take devices in turn. A network is shared by the threads
    of a device and by no others, and the next one takes its place: a card has seldom room for two
    of the large models. Who a teacher is and what it does for is remembered without it.
    """

    def __init__(self, settings: Teach, scratch: Path, folder: Path) -> None:
        self.settings, self.scratch, self.folder = settings, scratch, folder
        self._loaded: dict[tuple[str, str | None], Restorer] = {}
        self._known: dict[str, tuple[Identity, frozenset[Degradation]]] = {}
        self._lock = threading.Lock()
        self._count = itertools.count()
        self._mine = threading.local()

    def __reduce__(self) -> Any:
        # Networks and connections stay in the process that made them.
        return Teachers, (self.settings, self.scratch, self.folder)

    def devices(self) -> list[str]:
        """Those of the settings, or all GPUs, or the CPU."""
        if self.settings.devices:
            return self.settings.devices
        import torch

        return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]

    def get(self, name: str) -> Restorer:
        """The teacher on this thread's device. Raises `UserError`."""
        plain = name in LIGHT or name.startswith(API)
        key = (name, None if plain else self._device())
        with self._lock:
            if key not in self._loaded:
                if not plain:
                    self._drop(key[1])
                found = self._loaded[key] = self._load(*key)
                tasks = frozenset(task for task in Degradation if found.supports(task))
                self._known[name] = (found.identity, tasks)
            return self._loaded[key]

    def identity(self, name: str) -> Identity:
        """Of the teacher, which is loaded where it was not before. Raises `UserError`."""
        return self._about(name)[0]

    def supports(self, name: str, task: Degradation) -> bool:
        """Whether the teacher does anything for `task`. Raises `UserError`."""
        return task in self._about(name)[1]

    def release(self) -> None:
        """Drop all networks, so that a judge finds room on their devices."""
        with self._lock:
            for device in {device for _, device in self._loaded if device}:
                self._drop(device)

    def _about(self, name: str) -> tuple[Identity, frozenset[Degradation]]:
        if name not in self._known:
            self.get(name)
        return self._known[name]

    def _drop(self, device: str | None) -> None:
        held = [key for key in self._loaded if key[1] == device]
        for key in held:
            del self._loaded[key]
        if held:
            gc.collect()  # pipelines refer to themselves
            if device and device.startswith("cuda"):
                import torch

                torch.cuda.empty_cache()

    def _device(self) -> str:
        if not hasattr(self._mine, "device"):
            devices = self.devices()
            self._mine.device = devices[next(self._count) % len(devices)]
        return str(self._mine.device)

    def _load(self, name: str, device: str | None) -> Restorer:
        if name.startswith(API):
            from curation.teach.image_api import ImageApiTeacher

            return ImageApiTeacher(name.removeprefix(API), self.settings.api, self.scratch)
        if name.startswith(REGISTRY):
            # Stages know no registry; `mendline teachers --fetch` and the refresh flow do.
            folder = fetched_folder(self.folder, name)
            if not folder.is_dir():
                raise UserError(
                    f"The teacher {name} has not been fetched from the registry.",
                    "Run `mendline teachers --fetch`.",
                )
            return load_restorer(str(folder), device)
        return load_restorer(name, device)
