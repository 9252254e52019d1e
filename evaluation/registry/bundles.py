"""What of a model goes into the registry, by its kind.

The small student: its two files. Adapters: their files, and a reference to the model below them.
A large model: a copy up to `COPIED` bytes; above that a reference to `.mendline/bundles/DIGEST`,
where its files are kept as hard links (copies on another file system), since the next training
takes models/finetune away.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from catalog.errors import UserError
from catalog.files import atomic_folder, disk_errors

STUDENT = ("config.json", "model.safetensors")
COPIED = 2 * 2**30
"""Bytes of a large model up to which the registry holds a copy."""
FOLDER = "files"
"""Of a version's artifacts, as a Restorer's folder."""


@dataclass(frozen=True)
class Bundle:
    """A model to register."""

    folder: Path
    kind: Literal["student", "adapters", "editing"]
    digest: str
    """SHA-256 over its files; of adapters over the model below them, too."""


def read_bundle(folder: Path) -> Bundle:
    """Hash the model in `folder`. Raises `UserError` where it is none, or holds a pickle."""
    from networks.editing import lora
    from networks.editing.loading import is_editing
    from networks.editing.reference import digest_of, list_files

    if folder.is_dir() and is_editing(folder):
        own = digest_of(list_files(folder))
        if not (folder / lora.CONFIG).is_file():
            return Bundle(folder, "editing", own)
        base, weights = lora.read_base(folder)
        if not base.is_dir():
            raise UserError(
                f"The model below the adapters in {folder} is not in {base}.",
                "Copy it there from the machine that trained: a version of adapters refers "
                "to its files by their hashes.",
            )
        return Bundle(folder, "adapters", hashlib.sha256(f"{weights}\n{own}".encode()).hexdigest())
    digest = hashlib.sha256()
    for name in STUDENT:
        if not (folder / name).is_file():
            raise UserError(
                f"There is no {name} in {folder}.", "Run `dvc repro finetune`, then again."
            )
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return Bundle(folder, "student", digest.hexdigest())


def put(bundle: Bundle, target: Path, kept: Path, copied: int = COPIED) -> None:
    """Fill the existing folder `target` with what the registry holds of `bundle`.

    `kept`: the folder of the work tree in which large models are kept by digest.
    """
    if bundle.kind == "student":
        _each(bundle.folder, STUDENT, target, shutil.copyfile)
        return
    from networks.editing import lora
    from networks.editing.reference import digest_of, list_files, write_reference

    if bundle.kind == "adapters":
        _each(bundle.folder, (lora.CONFIG, lora.WEIGHTS, lora.BASE), target, shutil.copyfile)
        base = lora.read_base(bundle.folder)[0]
        write_reference(target, base, list_files(base))
        return
    files = list_files(bundle.folder)
    if sum(about["bytes"] for about in files.values()) <= copied:
        _each(bundle.folder, files, target, shutil.copyfile)
        return
    place = kept / digest_of(files)
    if not place.is_dir():
        with atomic_folder(place) as folder:
            _each(bundle.folder, files, folder, _link)
    write_reference(target, place, files)


def _each(
    source: Path, names: Iterable[str], target: Path, way: Callable[[Path, Path], object]
) -> None:
    with disk_errors(target):
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            way(source / name, target / name)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def requirements(bundle: Bundle) -> tuple[str, ...]:
    """Packages that loading takes."""
    base = ("mlflow", "numpy", "pandas", "pillow", "pydantic", "pyyaml", "safetensors", "torch")
    if bundle.kind == "student":
        return base
    return (*base, "diffusers", "peft", "tokenizers", "transformers")


def folder_in(root: Path) -> Path | None:
    """The Restorer's folder in a version's downloaded artifacts; None where there is none."""
    named = root / "artifacts" / FOLDER
    if named.is_dir():
        return named
    for weights in sorted(root.rglob("model.safetensors")):
        if (weights.parent / "config.json").is_file():
            return weights.parent
    return None
