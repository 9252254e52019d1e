"""Files and folders that appear whole or not at all."""

import errno
import glob
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from catalog.errors import UserError

TEMPORARY_SUFFIX = ".partial"
_ABANDONED_S = 24 * 3600.0
"""Seconds after which a folder of no process that is alive here is left over; its writer may be on
another machine of a shared disk."""

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NOT_LET = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_PLACE = {errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG}


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")


def _remove_left_overs(path: Path) -> None:
    """The folders that killed writers of `path` left beside it."""
    # Without a `path`, an old one may be all there is of it.
    for end in (TEMPORARY_SUFFIX, ".old") if path.exists() else (TEMPORARY_SUFFIX,):
        for place in path.parent.glob(f".{glob.escape(path.name)}.*{end}"):
            number = place.name[len(path.name) + 2 : -len(end)]
            if number.isdecimal() and not _is_alive(int(number)) and _is_old(place):
                shutil.rmtree(place, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _is_old(folder: Path) -> bool:
    try:
        changed = max(each.stat().st_mtime for each in (folder, *folder.rglob("*")))
    except OSError:  # somebody else removes it
        return False
    return time.time() - changed > _ABANDONED_S


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, and a `path` that nothing can be written to, into a `UserError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise UserError(
                f"No space left on the disk while writing {path}.",
                "Free some space and run the same command again; finished parts are kept.",
            ) from error
        if _is_of(error, path):
            raise UserError(
                f"{path} cannot be written: {os.strerror(error.errno or 0)}.",
                "Make it a place that you may write to, or name another one, and run the same "
                "command again.",
            ) from error
        raise


def _is_of(error: OSError, path: Path) -> bool:
    """Whether it is `path` that cannot be written, and not some other file of the block."""
    if error.filename is None:  # PyArrow has the name in its words only
        return error.errno in _NOT_LET and str(_temporary(path)) in str(error)
    if not isinstance(error.filename, str):
        return False
    place = Path(error.filename)
    above = place == path or place in path.parents
    if error.errno in _NOT_LET:
        return above or place.is_relative_to(path) or place == _temporary(path)
    # A temporary that was never written is a fault of ours, unless a folder is in its place.
    return error.errno in _NO_PLACE and (above or error.errno == errno.EISDIR)


@contextmanager
def atomic_file(path: Path, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well.

    Parent folders are made. The file is synced before the rename, so that after a crash `path` is
    either absent, its old content, or its whole new content. Without `sync` that holds for a
    killed process but not for a power cut; it is for files that are compared and written anew.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path)
        try:
            yield temporary
            if sync:
                _fsync(temporary)
            os.replace(temporary, path)
            if sync:
                _fsync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; swap it into place when the block ends well.

    An existing `path` is replaced as a whole. What a killed process left beside it, and did not
    touch for a day, is removed.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path)
        _remove_left_overs(path)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            if path.exists():
                os.replace(path, old)
            os.replace(temporary, path)
            _fsync(path.parent)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON with sorted keys, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(
            json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8"
        )
