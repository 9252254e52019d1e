"""How much memory is free, as the machine and a control group leave it."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from catalog.memory import free_memory

MIB = 1 << 20


def version_two(root: Path, limit: int | str, used: int, files: int) -> Path:
    (root / "memory.max").write_text(f"{limit}\n")
    (root / "memory.current").write_text(f"{used}\n")
    (root / "memory.stat").write_text(f"anon 5\nfile 7\ninactive_file {files}\n")
    return root


def version_one(root: Path, limit: int, used: int, files: int) -> Path:
    folder = root / "memory"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"cache 5\ntotal_inactive_file {files}\n")
    return root


@pytest.mark.parametrize("group", [version_one, version_two])
def test_a_control_group_leaves_its_limit_less_what_gives_way(
    group: Callable[..., Path], tmp_path: Path
) -> None:
    """Pages of files that were read long ago are counted as used, but make way."""
    assert free_memory(group(tmp_path, 300 * MIB, 250 * MIB, 90 * MIB)) == 140 * MIB


def test_more_used_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    assert free_memory(version_two(tmp_path, 10 * MIB, 20 * MIB, 0)) == 0


def test_without_a_limit_it_is_what_the_machine_has_free(tmp_path: Path) -> None:
    for groups in (tmp_path, version_two(tmp_path, "max", 20 * MIB, 0)):
        free = psutil.virtual_memory().available
        assert free_memory(groups) == pytest.approx(free, rel=0.3)
