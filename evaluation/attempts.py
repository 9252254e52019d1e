"""What a process was restoring when it died: a segmentation fault leaves no exception.

Before a restorer is run, a note names its images; the note goes when the restorer returns or
raises. A note that is still there was left by a process that died inside. Whoever comes next then
takes those images one by one, and gives an image up on which two processes died alone: once may
have been a kill from outside.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from evaluation.benchmark import Item

DEATHS_ALONE = 2


class Attempts:
    """Notes in a folder; each is a file whose content is the number of attempts under way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _note(self, items: Sequence[Item]) -> Path:
        names = "\n".join(f"{item.degradation} {item.image_id}" for item in items)
        return self.folder / f"attempt-{hashlib.sha256(names.encode()).hexdigest()[:32]}"

    def deaths(self, items: Sequence[Item]) -> int:
        """How many processes died while they restored exactly these items together."""
        try:
            return int(self._note(items).read_text() or 0)
        except (FileNotFoundError, ValueError):
            return 0

    @contextmanager
    def attempt(self, items: Sequence[Item]) -> Iterator[None]:
        """Keep a note while the block runs; any end but the process's takes it away."""
        note, before = self._note(items), self.deaths(items)
        self.folder.mkdir(parents=True, exist_ok=True)
        note.write_text(str(before + 1))
        try:
            yield
        finally:
            if before:
                note.write_text(str(before))
            else:
                note.unlink(missing_ok=True)
