"""Where a command's result goes: looked at before the work, not after it."""

import os
from pathlib import Path
from typing import Any

import click

from catalog.errors import UserError

_OTHER_FORMATS = {".csv", ".tsv", ".txt", ".json", ".jsonl", ".xls", ".xlsx", ".html", ".htm"}


class Out(click.Path):
    """The type of an option that says where to write. Raises `UserError` as `check_writable`."""

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        out: Any = super().convert(value, param, ctx)
        check_writable(out)
        return out


class OutTable(Out):
    """The type of an option that says where to write a Parquet table."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path. Raises `UserError` where its suffix promises another format."""
        out: Any = super().convert(value, param, ctx)
        if out.suffix.lower() in _OTHER_FORMATS:
            raise UserError(
                f"{out} would be no {out.suffix.lower()} file: the table is Parquet.",
                f"Name {out.with_suffix('.parquet')}; pandas.read_parquet reads it.",
            )
        return out


OUT_FILE = Out(dir_okay=False)
OUT_FOLDER = Out(file_okay=False)
OUT_PATH = Out()
OUT_TABLE = OutTable()


def check_writable(out: Path) -> None:
    """Raise `UserError` where `out` cannot be made or replaced."""
    place = out.absolute()
    there = next(one for one in (place, *place.parents) if one.exists())
    if there != place and not there.is_dir():
        raise UserError(f"{out} cannot be made: {there} is a file.", "Name another place.")
    if not os.access(there, os.W_OK):
        raise UserError(
            f"{out} cannot be written: you may not write to {there}.", "Name another place."
        )
