"""Images in a folder of results: what an earlier run of the command wrote is not made again.

The folder's `.mendline-written` names what was written, with its SHA-256 and all that it depends
on, a line of JSON each; it only grows and stays, so that what is a command's own and what is the
user's can be told apart. A file is named before it is put in place: a kill in between costs that
one file, and no file of a command's own is ever taken for the user's.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from catalog.errors import ImageRefused, UserError
from catalog.files import atomic_file
from catalog.images import VERSION, Rgb, decode, encode_png, image_id
from flows.cli.folders import name_in, read_bytes
from flows.cli.unfinished import Unfinished, interruptible, key

RECORD = ".mendline-written"


class Written:
    """The files of one folder that a command writes."""

    def __init__(self, out: Path, record: Unfinished, names: Iterable[str]) -> None:
        """`names` are all that will be written, relative to `out`.

        Raises `UserError` where one of them is there and is not as a command wrote it.
        """
        self.out, self.made, self.kept = out, 0, 0
        self._record = record
        self._there = {name: _digest(out / name) for name in names if os.path.lexists(out / name)}
        foreign = [name for name, is_now in self._there.items() if _own(name, is_now) not in record]
        if foreign:
            more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
            raise UserError(
                f"{out / foreign[0]}{more} would be overwritten, and no command here wrote it, or "
                "it was changed since.",
                "Move it away, or name another folder with --out.",
            )

    def told(self, name: str, asked: str) -> Any:
        """What `write` was told with the file, where that is there unchanged; None elsewhere."""
        answer = self._record.get(asked)
        if answer is None or answer["sha256"] != self._there.get(name):
            return None
        return answer["told"]

    def write(self, name: str, data: bytes, asked: str = "", told: Mapping[str, Any] = {}) -> None:
        """Write a file whole; with `asked`, what it depends on, it is found by the next run."""
        digest = image_id(data)
        lines: dict[str, Any] = {_own(name, digest): None}
        if asked:
            lines[asked] = {"sha256": digest, "told": told}
        self._record.put(lines)
        with atomic_file(self.out / name) as temporary:
            temporary.write_bytes(data)
        self._there[name] = digest

    def images(
        self, files: Iterable[Path], path: Path, *depends: str
    ) -> Iterator[tuple[str, str, str, Rgb | None]]:
        """Name of the result, its key, the image's id, and its pixels where it must be made.

        What cannot be read is said and left out. `depends` is all that a result depends on beside
        the image.
        """
        for file in files:
            try:
                data = read_bytes(file)
                name, image = result_name(file, path), image_id(data)
                asked = key(*depends, VERSION, image, _text(name))
                there = self.told(name, asked) is not None
                pixels = None if there else decode(data)
            except ImageRefused as refused:
                click.echo(f"{file}: {refused.what} It is left out.", err=True)
                continue
            yield name, asked, image, pixels
            self.kept += there
            self.made += not there

    def write_image(self, name: str, asked: str, image: Rgb, told: Mapping[str, Any] = {}) -> None:
        """Write a PNG file without metadata."""
        self.write(name, encode_png(image), asked, told)

    @property
    def summary(self) -> str:
        """What to add to the number of images, where some were there."""
        return f" ({self.kept} of them by an earlier run)" if self.kept else ""


def result_name(file: Path, path: Path) -> str:
    """The name of the result for `file`, which is `path` or below it.

    The whole old name stays in the new one, so that a.jpg and a.png do not meet.
    """
    return f"{name_in(file, path)}.png"


@contextmanager
def written(out: Path, names: Iterable[str]) -> Iterator[Written]:
    """The folder `out` for one process at a time. Raises `UserError` as `Written`."""
    new = not out.exists()
    record = Unfinished(out / RECORD)
    try:
        with interruptible("the same command goes on where it was"):
            yield Written(out, record, names)
    finally:
        record.close()
        if new:
            with suppress(OSError):  # something is in it
                out.rmdir()


def _digest(path: Path) -> str:
    """SHA-256 of a file; of what is none, or cannot be read, a text that is no digest."""
    try:
        return image_id(path.read_bytes())
    except OSError:
        return "none"


def _own(name: str, digest: str) -> str:
    return key("own/1", _text(name), digest)


def _text(name: str) -> str:
    """A file's name, which need not be UTF-8, in a text that is."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
