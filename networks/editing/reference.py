"""A large model named by its place and the hashes of its files, in place of a copy.

`reference.json` in a folder of adapters names the model below them; in a folder without weights it
names the whole model:

    {"format": "mendline-reference/1", "place": "/models/step1x", "digest": "...",
     "files": {"transformer/diffusion_pytorch_model.safetensors": {"bytes": 1, "sha256": "..."}}}

The model is looked for at `place`, then in `$MENDLINE_BUNDLES/DIGEST`. Every file is hashed before
any is read, so another model at that place is an error, never an answer.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from catalog.digests import file_digest
from catalog.errors import UserError
from catalog.files import write_json

REFERENCE = "reference.json"
FORMAT = "mendline-reference/1"
BUNDLES = "MENDLINE_BUNDLES"
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
LOGS = ("training.jsonl", "validation.jsonl")
"""Of a training stage, beside its model."""
LOADED = (".safetensors", ".json")
"""Suffixes of files that are loaded by pattern: one that was added would be read unhashed."""

Files = dict[str, dict[str, Any]]


def list_files(folder: Path) -> Files:
    """Size and SHA-256 of every file of a model, by path below `folder`, logs left out.

    Raises `UserError` for a pickle, which runs code when it is loaded.
    """
    found: Files = {}
    for name, path in _files(folder):
        if path.suffix in PICKLES:
            raise UserError(
                f"{path} is a pickle, which can run code when it is loaded.",
                "Convert it with safetensors.torch.save_file on a machine where you trust it.",
            )
        found[name] = {"bytes": path.stat().st_size, "sha256": file_digest(path)}
    return found


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in LOGS and not name.startswith("."):
            yield name, path


def digest_of(files: Files) -> str:
    """SHA-256 over the names and hashes of files."""
    lines = (f"{name} {about['sha256']}\n" for name, about in sorted(files.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def write_reference(folder: Path, place: Path, files: Files) -> None:
    """Name the model of `files` at `place` in an existing `folder`."""
    content = {
        "format": FORMAT,
        "place": str(place.resolve()),
        "digest": digest_of(files),
        "files": files,
    }
    write_json(folder / REFERENCE, content)


def resolve(folder: Path) -> Path:
    """Where the model that `folder` refers to lies, whole and unchanged. Raises `UserError`."""
    path = folder / REFERENCE
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}")
        place, digest, files = Path(content["place"]), str(content["digest"]), content["files"]
        known = {name: (int(about["bytes"]), about["sha256"]) for name, about in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error}.", "Register the model anew.") from error
    places = [place]
    if bundles := os.environ.get(BUNDLES):
        places.append(Path(bundles) / digest)
    faults = []
    for candidate in places:
        fault = _fault(candidate, known)
        if fault is None:
            return candidate
        faults.append(f"{candidate}: {fault}")
    raise UserError(
        f"The model that {path} refers to is not at hand ({'; '.join(faults)}).",
        f"Copy its files to FOLDER/{digest} and set {BUNDLES} to FOLDER, or get the very same "
        "files back to their place (`git checkout COMMIT` and `dvc checkout` for a trained one).",
    )


def _fault(place: Path, known: dict[str, tuple[int, str]]) -> str | None:
    if not place.is_dir():
        return "no such folder"
    for name, (size, _) in known.items():
        path = place / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes instead of {size}"
    for name, path in _files(place):
        if name not in known and path.suffix in (*LOADED, *PICKLES):
            return f"{name} is not of it"
    for name, (_, digest) in known.items():
        if file_digest(place / name, anew=True) != digest:
            return f"{name} has another SHA-256"
    return None
