"""The benchmark's images, fingerprinted like collected ones."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from catalog import schemas
from catalog.errors import ImageRefused, UserError
from catalog.files import TEMPORARY_SUFFIX
from catalog.images import SUFFIXES, decode, image_id, read_header
from catalog.layout import Layout
from catalog.log import logger
from catalog.progress import track
from catalog.settings.curation import Deduplicate
from curation.deduplicate.prints import Prints, make_prints
from curation.hash import hash_image
from networks.interfaces import Embedder


def find_images(folder: Path) -> list[Path]:
    """Image files below `folder` by their suffix, sorted; hidden ones are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not path.name.endswith(TEMPORARY_SUFFIX)
    )


def _folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in find_images(folder):
        yield path.relative_to(folder).as_posix(), path.read_bytes()


def _dataset(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The images of a dataset that `datasets` saved to disk, or of its Parquet files."""
    import datasets

    if list(folder.rglob("*.parquet")):
        files = [str(path) for path in sorted(folder.rglob("*.parquet"))]
        loaded = datasets.load_dataset("parquet", data_files=files, split="train")
    else:
        loaded = datasets.load_from_disk(str(folder))
    yield from _images(loaded, str(folder))


def _hub(name: str) -> Iterator[tuple[str, bytes]]:
    """The images of all splits of a dataset of the Hugging Face hub, or of its local cache."""
    import datasets

    try:
        loaded = datasets.load_dataset(name)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"The benchmark {name} is no folder here, and as a Hugging Face dataset it cannot be "
            f"loaded: {error}.",
            "Correct deduplicate.benchmarks, or save the dataset to a folder and name that.",
        ) from error
    yield from _images(loaded, name)


def _images(loaded: Any, place: str) -> Iterator[tuple[str, bytes]]:
    """The encoded images of all image columns of a dataset or of its splits."""
    import datasets

    parts = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"": loaded}
    for split, part in parts.items():
        names = [name for name, kind in part.features.items() if isinstance(kind, datasets.Image)]
        if not names:
            raise UserError(
                f"The dataset {place} has no image column.",
                "Name one whose features hold datasets.Image in deduplicate.benchmarks.",
            )
        for name in names:
            plain = part.select_columns([name]).cast_column(name, datasets.Image(decode=False))
            for number, row in enumerate(plain):
                image = row[name]
                if image is None:
                    continue
                data = image["bytes"] or Path(image["path"]).read_bytes()
                yield f"{split}/{name}/{number}".lstrip("/"), data


def read_benchmark(place: Path | str) -> Iterator[tuple[str, bytes]]:
    """Name and encoded bytes of each image of a folder or of a dataset saved on disk.

    A string of the form OWNER/NAME is a dataset of the Hugging Face hub. Raises `UserError` for
    what does not exist.
    """
    if isinstance(place, str):
        yield from _hub(place)
        return
    folder = place
    if not folder.is_dir():
        raise UserError(
            f"The benchmark {folder} does not exist.",
            "Put its images there, or take it out of deduplicate.benchmarks.",
        )
    marks = ("dataset_info.json", "dataset_dict.json", "state.json")
    saved = any((folder / mark).is_file() for mark in marks) or any(folder.rglob("*.parquet"))
    yield from _dataset(folder) if saved else _folder(folder)


def place_of(name: str, root: Path) -> Path | str:
    """What an entry of deduplicate.benchmarks means: a path from `root`, else OWNER/NAME."""
    folder = root / name
    is_name = re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None
    return name if is_name and not folder.exists() else folder


def places_of(layout: Layout, settings: Deduplicate) -> list[Path | str]:
    """The benchmarks of a work tree: its folder, and what deduplicate.benchmarks names."""
    own: list[Path | str] = [layout.benchmark] if layout.benchmark.is_dir() else []
    return own + [place_of(name, layout.root) for name in settings.benchmarks]


def fingerprint_benchmarks(
    places: Sequence[Path | str], thumbnail_side: int, embedder: Embedder | None = None
) -> tuple[Prints, list[str]]:
    """The fingerprints of all benchmark images, and their names, row by row.

    A file that is no image is left out with a warning.
    """
    images = chain.from_iterable(
        track(read_benchmark(place), f"benchmark {Path(place).name}") for place in places
    )
    return fingerprint_images(images, thumbnail_side, embedder)


def fingerprint_images(
    images: Iterable[tuple[str, bytes]], thumbnail_side: int, embedder: Embedder | None = None
) -> tuple[Prints, list[str]]:
    """The fingerprints of encoded images, and their names, row by row.

    A file that is no image is left out with a warning.
    """
    hashes: list[dict[str, Any]] = []
    fingerprints: list[dict[str, Any]] = []
    vectors: list[np.ndarray] = []
    names: list[str] = []
    for name, data in images:
        try:
            header = read_header(data)
            row = hash_image(data, thumbnail_side)
            if embedder is not None:
                vectors.append(embedder.embed_images([decode(data)])[0])
        except ImageRefused as refused:
            logger(__name__).warning("benchmark file left out", name=name, why=refused.reason)
            continue
        row |= {
            "image_id": image_id(data),
            "width": header.width,
            "height": header.height,
            "format": header.format,
        }
        hashes.append({key: row[key] for key in schemas.HASHES.names if key in row})
        fingerprints.append({key: row[key] for key in schemas.FINGERPRINTS.names})
        names.append(name)
    prints = make_prints(
        pa.Table.from_pylist(hashes, schema=schemas.HASHES),
        pa.Table.from_pylist(fingerprints, schema=schemas.FINGERPRINTS),
        np.stack(vectors) if vectors else None,
    )
    return prints, names
