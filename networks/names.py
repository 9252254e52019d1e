"""Choosing a network by its name."""

import difflib
from collections.abc import Iterable

from catalog.errors import UserError


def unknown(family: str, name: str, valid: Iterable[str], also: str = "") -> UserError:
    """The error for a name that no network of `family` has, with the nearest that one has.

    `also` says what else may stand in the place of a name, such as a folder.
    """
    names = list(valid)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    return UserError(
        f"There is no {family} named {name!r}.", f"{hint}Valid are {', '.join(names)}{also}."
    )
