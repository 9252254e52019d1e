"""Images of a local folder."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from catalog.errors import UserError
from catalog.images import SUFFIXES
from curation.collect.outcome import FetchError
from curation.collect.sources import Item


class Folder:
    """The image files below a folder, by name; what is in them is checked later by content."""

    name = "folder"

    def __init__(self, path: Path, tree: Path | None = None) -> None:
        """`tree` is the work tree that collects.

        Raises `UserError` for a folder that is not there, holds no images, or holds `tree`: the
        pictures that the pipeline makes would be collected by the next run.
        """
        if not path.is_dir():
            raise UserError(f"There is no folder {path}.", "Give a folder that exists.")
        self.path = path.resolve()
        if tree is not None and tree.resolve().is_relative_to(self.path):
            raise UserError(
                f"The work tree {tree.resolve()} lies inside the folder {path}: what it makes "
                "would be collected.",
                "Keep the photos in a folder of their own, or the work tree elsewhere.",
            )
        self._files = sorted(
            file
            for file in self.path.rglob("*")
            if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
        )
        for file in self._files:
            name = str(file).encode("utf-8", "replace").decode("utf-8")
            if name != str(file):  # the system gives other bytes as lone surrogates
                raise UserError(f"The name of {name} is not UTF-8.", "Rename the file.")
        if not self._files:
            raise UserError(
                f"The folder {path} holds no images ({', '.join(sorted(SUFFIXES))}).",
                "Give a folder with image files; folders below it are searched too.",
            )

    def describe(self) -> dict[str, Any]:
        """Name of the folder and a hash over names, sizes and times of its files."""
        digest = hashlib.sha256()
        for file in self._files:
            state = file.stat()
            digest.update(f"{file.relative_to(self.path)}\0{state.st_size}\0".encode())
            digest.update(f"{state.st_mtime_ns}\n".encode())
        return {"source": self.name, "folder": self.path.name, "sha256": digest.hexdigest()}

    def items(self) -> Iterator[Item]:
        """One item a file; its key is the resolved path."""
        for file in self._files:
            yield Item(None, self.name, key=str(file), locator=str(file))

    def read(self, locator: str, max_bytes: int) -> bytes:
        """The file's bytes. Raises `FetchError` ("too-large", "unreadable")."""
        return read_file(Path(locator), max_bytes)


def read_file(path: Path, max_bytes: int) -> bytes:
    """A file of at most `max_bytes`. Raises `FetchError` ("too-large", "unreadable")."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise FetchError("unreadable", f"The file cannot be read: {error}.", True) from error
    if len(data) > max_bytes:
        raise FetchError("too-large", f"The file is more than {max_bytes} bytes.")
    return data
