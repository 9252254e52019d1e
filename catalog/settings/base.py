"""The base of all settings, and their errors in words."""

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from catalog.errors import UserError

_SHAPES = {
    "list_type": "must be a list, such as [a, b]",
    "tuple_type": "must be a list, such as [a, b]",
    "dict_type": "must have keys with values, such as {default: 1}",
    "model_type": "must have the keys of its section below it",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
}
"""Pydantic's kinds of fault whose own words speak of Python."""


class Settings(BaseModel):
    """A frozen, strict section of params.yaml: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The settings model that holds the last key of `location`."""
    current: Any = model
    for key in location[:-1]:
        if not (isinstance(current, type) and issubclass(current, BaseModel)):
            return None
        field = current.model_fields.get(str(key))
        if field is None:
            return None
        current = field.annotation
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def explain(error: ValidationError, model: type[BaseModel], origin: str) -> UserError:
    """A pydantic error as a `UserError` that names each key, what is wrong and the nearest name."""
    lines = []
    for fault in error.errors():
        place = ".".join(str(part) for part in fault["loc"]) or "the whole file"
        if fault["type"] == "extra_forbidden":
            holder = _model_at(model, fault["loc"])
            names = list(holder.model_fields) if holder else []
            near = difflib.get_close_matches(str(fault["loc"][-1]), names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"valid are {', '.join(names)}."
            lines.append(f"{place} is not a setting; {hint}")
        elif fault["type"] == "missing":
            lines.append(f"{place} is missing.")
        else:
            said = _SHAPES.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
            lines.append(f"{place}: {said} (given: {fault.get('input')!r}).")
    return UserError(
        f"{origin} is not valid:\n  " + "\n  ".join(lines),
        "Mend it there; `mendline profile embedded` writes a complete valid file.",
    )
