"""What a work tree holds beside data: the rooms' source, the graph, the profiles.

They lie at the top of a clone; `setup.py` puts those that are no packages into the wheel, below
`flows/template`.
"""

import difflib
from pathlib import Path

from catalog.errors import UserError

ROOMS = ("catalog", "networks", "curation", "training", "evaluation", "flows")

FILES = (
    "dvc.yaml",
    "prefect.yaml",
    "prefect-gpu.yaml",
    ".dvcignore",
    ".gitignore",
    ".dvc/config",
    ".dvc/.gitignore",
    "data/benchmark/README.md",
    "data/reviews/README.md",
    "data/sources/README.md",
    "data/takedowns/README.md",
    "data/teachers/README.md",
)
"""Files of a work tree that are no Python package."""

_PACKAGES = Path(__file__).parents[1]


def template_root() -> Path:
    """The folder that holds `FILES` and `profiles`: the clone, or a folder of the wheel."""
    packed = Path(__file__).parent / "template"
    return packed if packed.is_dir() else _PACKAGES


def room_source(room: str) -> Path:
    """The folder of one room's package, as installed."""
    return _PACKAGES / room


def profile_names() -> list[str]:
    """Names of the profiles that come with Mendline."""
    return sorted(path.stem for path in (template_root() / "profiles").glob("*.yaml"))


def profile_path(name: str) -> Path:
    """The file of a profile. Raises `UserError` for an unknown name, with the nearest one."""
    names = profile_names()
    if name in names:
        return template_root() / "profiles" / f"{name}.yaml"
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise UserError(f"There is no profile {name!r}.", f"{hint}There are: {', '.join(names)}.")
