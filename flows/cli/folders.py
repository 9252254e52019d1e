"""Reading plain folders of images for the commands."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from catalog.errors import ImageRefused, UserError
from catalog.images import Rgb, decode

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


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


def name_in(path: Path, folder: Path) -> str:
    """`path` relative to `folder`, or the name of a single file."""
    return path.relative_to(folder).as_posix() if folder.is_dir() else path.name


def label_in(path: Path, folder: Path) -> str:
    """`name_in` as tables and pages hold it: bytes that are not UTF-8 are written as \\xNN."""
    return os.fsencode(name_in(path, folder)).decode("utf-8", "backslashreplace")


def read(path: Path) -> tuple[bytes, Rgb]:
    """Bytes and pixels of one file. Raises `ImageRefused`, also where it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageRefused("unreadable", f"The file cannot be read: {error}.") from error
    return data, decode(data)


@dataclass(frozen=True)
class Picture:
    """A file with its bytes and pixels, or why it has none."""

    path: Path
    data: bytes = b""
    image: Rgb | None = None
    refused: ImageRefused | None = None

    @property
    def pixels(self) -> int:
        """Height times width."""
        return 0 if self.image is None else self.image.shape[0] * self.image.shape[1]


def pictures(files: Iterable[Path]) -> Iterator[Picture]:
    """Every file with its pixels, or with the reason why it has none."""
    for path in files:
        try:
            yield Picture(path, *read(path))
        except ImageRefused as refused:
            yield Picture(path, refused=refused)


def decoded(files: Iterator[Path]) -> Iterator[tuple[Path, Rgb]]:
    """Files with their pixels; what is refused is said and left out."""
    for path in files:
        try:
            yield path, read(path)[1]
        except ImageRefused as refused:
            click.echo(f"{path}: {refused.what} It is left out.", err=True)
