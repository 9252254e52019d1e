"""params.yaml as frozen models, one section a stage.

Each room's sections are in a module of their own here; `Params` is the whole file.
"""

from pathlib import Path

import yaml
from pydantic import ValidationError

from catalog.errors import UserError
from catalog.settings.base import Settings, explain
from catalog.settings.curation import (
    Assemble,
    Collect,
    Deduplicate,
    Embed,
    Hash,
    Pair,
    Screen,
    Synthesize,
    Teach,
)
from catalog.settings.evaluation import Evaluate, Gate
from catalog.settings.training import Network, Stage, Student

__all__ = ["Params", "Settings", "load_params", "parse_params"]


class Params(Settings):
    """The whole of params.yaml."""

    profile: str
    collect: Collect
    hash: Hash
    embed: Embed
    deduplicate: Deduplicate
    screen: Screen
    teach: Teach
    pair: Pair
    synthesize: Synthesize
    assemble: Assemble
    network: Network = Network()
    student: Student
    transfer: Stage
    finetune: Stage
    evaluate: Evaluate
    gate: Gate


def parse_params(text: str, origin: str) -> Params:
    """Validate YAML `text`; `origin` names it in errors. Raises `UserError`."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(
            f"{origin} is not YAML: {error}.", "Mend the line that it names."
        ) from error
    if not isinstance(content, dict):
        raise UserError(
            f"{origin} holds no settings.", "`mendline profile embedded` writes a complete file."
        )
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise explain(error, Params, origin) from error


def load_params(path: Path) -> Params:
    """Read and validate params.yaml. Raises `UserError`."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise UserError(
            f"There is no {path}.",
            "Run inside a work tree: a clone of Mendline, or the folder that `mendline demo` made. "
            "There, `mendline profile embedded` writes the file.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} cannot be read: {error}.",
            "Mend it, or move it away and write one with `mendline profile embedded`.",
        ) from error
    return parse_params(text, str(path))
