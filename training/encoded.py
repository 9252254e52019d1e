"""What frozen encoders said, on disk, keyed by the content of what they were given.

A key is the hash of the very pixels, the words and all that the encoders' answers hang on
(`Editor.encoder_hash`), never a row or a path, so an entry cannot be paired with another image,
instruction, tokenizer or version of the code. Samples that a random augmentation touched are not
stored: they do not come again.
"""

import hashlib
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from catalog.files import atomic_file

Entry = dict[str, Tensor]


class EncodedCache:
    """Entries as safetensors files below `folder`; at most about `limit` bytes are stored.

    `processes` store in the same folder, each its share of that.
    """

    def __init__(self, folder: Path | None, limit: int, processes: int = 1) -> None:
        self.folder = folder if limit else None
        self.limit = limit // processes
        self.hits = self.misses = 0
        self._bytes = 0
        self._lock = threading.Lock()
        self.processes = processes
        self._count()

    def _count(self) -> None:
        if self.folder is not None and self.folder.is_dir():
            stored = sum(path.stat().st_size for path in self.folder.rglob("*.safetensors"))
            self._bytes = stored // self.processes

    def only(self, encoders: str) -> None:
        """Keep entries in a folder of these `encoders`; remove those of others, which would fill
        the place that is left.
        """
        if self.folder is None:
            return
        place = self.folder / encoders[:16]
        if self.folder.is_dir():
            for other in self.folder.iterdir():
                if other != place:
                    shutil.rmtree(other, ignore_errors=True)
        self.folder, self._bytes = place, 0
        self._count()

    def get(self, key: tuple[str, ...] | None, make: Callable[[], Entry]) -> Entry:
        """The entry of `key`, or what `make` returns; None as key stores nothing."""
        if key is None or self.folder is None:
            return make()
        name = hashlib.sha256("\n".join(key).encode()).hexdigest()
        path = self.folder / name[:2] / f"{name[2:]}.safetensors"
        if path.is_file():
            try:
                found = load_file(path)
                self.hits += 1
                return found
            except (SafetensorError, OSError):
                path.unlink(missing_ok=True)  # torn by a full disk; made again below
        self.misses += 1
        entry = make()
        size = sum(value.nbytes for value in entry.values())
        with self._lock:
            if self._bytes + size > self.limit:
                return entry
            self._bytes += size
        with atomic_file(path) as temporary:
            save_file({k: v.detach().cpu().contiguous() for k, v in entry.items()}, temporary)
        return entry
