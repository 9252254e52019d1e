"""All files that decide what an editing model puts out, and one hash over them.

Weights of every part, configurations, tokenizers, templates: with another autoencoder or scheduler
the same transformer gives other images.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from catalog.digests import file_digest

INDEX = "model_index.json"
READ = (".safetensors", ".json", ".txt", ".model", ".jinja")
"""Suffixes of what diffusers and transformers read of a part's folder."""

_CODE = ("editing/*.py", "step1x/*.py", "student/patches.py")

Parts = Mapping[str, Sequence[Path]]
"""Files and folders of each part of a model, by the part's name."""


def pipeline_parts(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Those of the diffusers pipeline in `folder`: the index and the folders that it names.

    What else lies there (other copies of the weights, pictures) is never read.
    """
    index = json.loads((folder / INDEX).read_text("utf-8"))
    named = {name: (folder / name,) for name in index if (folder / name).is_dir()}
    return {"index": (folder / INDEX,), **named}


def content_hash(parts: Parts) -> str:
    """SHA-256 over the parts' names and the contents of their files, wherever these lie."""
    digest = hashlib.sha256()
    for part, places in sorted(parts.items()):
        for number, place in enumerate(places):
            for name, path in _files(place):
                digest.update(f"{part} {number} {name} {file_digest(path)}\n".encode())
    return digest.hexdigest()


def code_hash() -> str:
    """SHA-256 over the code that brings images and words to the encoders, and its libraries'
    versions.
    """
    digest = hashlib.sha256()
    for library in ("diffusers", "transformers"):
        digest.update(f"{library} {version(library)}\n".encode())
    rooms = Path(__file__).parents[1]
    for place in _CODE:
        for path in sorted(rooms.glob(place)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(place: Path) -> Iterator[tuple[str, Path]]:
    """(name below a folder, path); a file by itself may be called anything."""
    if place.is_file():
        yield "", place
        return
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place)
        hidden = any(each.startswith(".") for each in name.parts)
        if path.is_file() and path.suffix in READ and not hidden:
            yield name.as_posix(), path
