"""How much memory processes may still take."""

from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)
"""Of control groups of the second and the first version: limit, use, and what of the use is files
that give way."""


def free_memory(groups: Path = _GROUPS) -> int:
    """Bytes: what the machine has free, and no more than its control group leaves (Docker)."""
    import psutil

    return max(0, min([int(psutil.virtual_memory().available), *_left(groups)]))


def _left(groups: Path) -> Iterator[int]:
    for limit, used, gives_way in _FILES:
        try:
            most = (groups / limit).read_text().strip()
            if not most.isdecimal():  # "max": there is no limit
                continue
            statistics = (groups / used).with_name("memory.stat").read_text().split()
            files = dict(zip(statistics[::2], statistics[1::2], strict=False)).get(gives_way, "0")
            yield int(most) - int((groups / used).read_text()) + int(files)
        except (OSError, ValueError):  # no such version of control groups here
            continue
