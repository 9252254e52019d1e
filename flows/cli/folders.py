"""Reading plain folders of images for the commands."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from catalog.errors import ImageRefused, UserError
from catalog.images import FORMATS, SUFFIXES, Rgb, decode, image_id


def image_files(path: Path) -> list[Path]:
    """The file `path`, or all images below the folder `path`, sorted. Raises `UserError`."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"There is no {path}.", "Name an image or a folder of images.")
    found = [file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file()]
    if not found:
        raise UserError(
            f"There is no image in {path}.",
            f"Name a folder that holds {', '.join(sorted(SUFFIXES))} files.",
        )
    return sorted(found)


def no_image_in(path: Path, files: int) -> UserError:
    """The error where none of the `files` at or below `path` could be read."""
    return UserError(
        f"None of the {files} files in {path} is an image that can be read."
        if path.is_dir()
        else f"{path} is no image that can be read.",
        f"Give images in {', '.join(FORMATS)}.",
    )


def name_in(path: Path, folder: Path) -> str:
    """`path` relative to `folder`, or the name of a single file."""
    return path.relative_to(folder).as_posix() if folder.is_dir() else path.name


def label_in(path: Path, folder: Path) -> str:
    """`name_in` as tables and pages hold it: bytes that are not UTF-8 are written as \\xNN."""
    return os.fsencode(name_in(path, folder)).decode("utf-8", "backslashreplace")


def read_bytes(path: Path) -> bytes:
    """The bytes of one file. Raises `ImageRefused` where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageRefused("unreadable", f"The file cannot be read: {error}.") from error


@dataclass(frozen=True)
class Picture:
    """A file with its id and pixels, or why it has none; without pixels where none are needed."""

    path: Path
    image_id: str = ""
    image: Rgb | None = None
    refused: ImageRefused | None = None

    @property
    def pixels(self) -> int:
        """Height times width."""
        return 0 if self.image is None else self.image.shape[0] * self.image.shape[1]


def pictures(files: Iterable[Path], needed: Callable[[str], bool]) -> Iterator[Picture]:
    """Every file with its pixels where `needed` says so of its image id, or why it has none."""
    for path in files:
        try:
            data = read_bytes(path)
            key = image_id(data)
            yield Picture(path, key, decode(data) if needed(key) else None)
        except ImageRefused as refused:
            yield Picture(path, refused=refused)


def decoded(files: Iterator[Path]) -> Iterator[tuple[Path, Rgb]]:
    """Files with their pixels; what is refused is said and left out."""
    for path in files:
        try:
            yield path, decode(read_bytes(path))
        except ImageRefused as refused:
            click.echo(f"{path}: {refused.what} It is left out.", err=True)
