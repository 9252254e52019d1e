"""Digests of large files outlive a process, and never a change of the file."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from catalog import digests
from catalog.digests import file_digest

HOUR_NS = 3600 * 10**9


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of remembered digests; every file is large, and an hour has passed since it changed.

    Returns a place for it below the test's own folder.
    """
    place = tmp_path / "cache/digests.sqlite"
    now = time.time_ns
    monkeypatch.setenv("MENDLINE_DIGESTS", str(place))
    monkeypatch.setattr(digests, "LARGE", 1)
    monkeypatch.setattr(digests, "_known", {})
    monkeypatch.setattr(digests.time, "time_ns", lambda: now() + HOUR_NS)
    return place


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths whose bytes are hashed from now on."""
    found: list[str] = []
    real = hashlib.file_digest

    def watched(file: object, name: str) -> object:
        found.append(file.name)  # type: ignore[attr-defined]
        return real(file, name)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "file_digest", watched)
    return found


def test_a_file_is_hashed_once_and_again_when_it_changed(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    expected = hashlib.sha256(b"one").hexdigest()
    hashed = reads(monkeypatch)
    assert file_digest(path) == file_digest(path) == expected
    monkeypatch.setattr(digests, "_known", {})  # another process
    assert file_digest(path) == expected
    assert len(hashed) == 1
    assert file_digest(path, anew=True) == expected
    assert len(hashed) == 2
    # Rewritten in place, of the same size, with its time of change put back.
    before = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert file_digest(path) == hashlib.sha256(b"two").hexdigest()


def test_what_changed_a_moment_ago_is_not_remembered(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("MENDLINE_DIGESTS", str(kept))
    monkeypatch.setattr(digests, "LARGE", 1)
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    hashed = reads(monkeypatch)
    assert file_digest(path) == file_digest(path)
    assert len(hashed) == 2


def test_a_place_that_cannot_be_written_only_costs_time(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MENDLINE_DIGESTS", str(tmp_path / "file/digests.sqlite"))
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    assert file_digest(path) == hashlib.sha256(b"one").hexdigest()
