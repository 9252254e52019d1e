"""Where a command's result goes: looked at before the work, not after it."""

import os
from pathlib import Path

import click

from catalog.errors import UserError


def writable(_: click.Context, __: click.Parameter, out: Path | None) -> Path | None:
    """A click callback: `check_writable` for an option."""
    if out is not None:
        check_writable(out)
    return out


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
